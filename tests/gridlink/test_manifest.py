"""The manifest: everything it may hold, and a sentence for everything that it may not."""

from __future__ import annotations

from typing import Any

import pytest

from gridlink.errors import ManifestInvalid
from gridlink.manifest import parse

GOOD: dict[str, Any] = {"name": "storage", "version": "1.0.0", "entry": "storage:Storage"}
FULL: dict[str, Any] = {
    **GOOD,
    "mode": "process",
    "into": "node2",
    "requires": {"python": ">=3.11", "gridlink": ">=0.1,<2", "platform": ["linux-aarch64"]},
    "uses": {"role grid": ["getState"], "topic measurement": ["voltage", "power"]},
    "durable": ["measurement"],
    "idempotent": ["getState"],
    "resources": {"memory_mib": 8, "cpu": 0.1, "disk_mib": 50},
    "replicas": "standby",
    "restart": {"intensity": 3, "period_s": 10, "backoff_s": [0.1, 5]},
    "trust": "untrusted",
}


def with_(**changes: Any) -> dict[str, Any]:
    """The good manifest with changes; None removes a field."""
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not None}


def test_the_three_required_fields_suffice() -> None:
    """A beginner's manifest is three lines."""
    manifest = parse(GOOD, "module.json")
    assert (manifest.mode, manifest.replicas, manifest.trust, manifest.uses) == ("node", "one", "trusted", {})


def test_every_field_is_read() -> None:
    """A field that is silently ignored is worse than one that is refused."""
    manifest = parse(FULL, "module.json")
    assert (str(manifest.mode), manifest.into) == ("process", "node2")
    assert manifest.requires["platform"] == ("linux-aarch64",)
    assert manifest.resources.memory_mib == 8
    assert list(manifest.restart.backoff_s) == [0.1, 5]
    assert (manifest.used_roles, manifest.used_topics) == (("grid",), ("measurement",))


def test_the_restart_policy_of_a_manifest_is_the_one_that_runs() -> None:
    """`restart` in module.json reaches the history of the child."""
    history = parse(FULL, "module.json").restart.history()
    assert (history.intensity, history.period_s, history.backoff_s) == (3, 10, (0.1, 5))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "expected a JSON object, got list"),
        (None, "expected a JSON object, got NoneType"),
        ("storage", "expected a JSON object, got str"),
        (with_(name=None), "the field 'name' is missing"),
        (with_(version=None), "the field 'version' is missing"),
        (with_(entry=None), "the field 'entry' is missing"),
        (with_(colour="red"), "unknown field 'colour'; expected name, version"),
        (with_(requires={"python": [">=3"]}), "requires.python: expected a version range"),
        (with_(requires={"platform": "linux"}), "requires.platform: expected a list of platforms"),
        (with_(resources={"memory": 8}), "unknown field 'resources.memory'; expected resources.memory_mib"),
        (with_(restart={"times": 8}), "unknown field 'restart.times'; expected restart.intensity"),
        (with_(version="1.0"), "version: expected a version as SemVer writes it, e.g. 1.0.0, got '1.0'"),
        (with_(version="01.0.0"), "version: expected a version as SemVer"),
        (with_(version="1.0.0\n"), "version: expected a version as SemVer"),
        (with_(version=1), "version: expected a version as SemVer"),
        (with_(name="Storage"), "name: expected a name of lower-case letters"),
        (with_(name="my-module"), "name: expected a name of lower-case letters"),
        (with_(name="storage\n"), "name: expected a name of lower-case letters"),
        (with_(name="a" * 65), "name: expected a name of lower-case letters"),
        (with_(entry="storage.Storage"), "entry: expected package:Class, e.g. storage:Storage, got 'storage.Storage'"),
        (with_(entry="storage:Storage\n"), "entry: expected package:Class"),
        (with_(mode="thread"), "mode"),
        (with_(replicas="two"), "replicas"),
        (with_(trust="maybe"), "trust"),
        (with_(uses={"storage": []}), "uses: expected 'role NAME' or 'topic NAME', got 'storage'"),
        (with_(uses={"role a.b": []}), "uses: expected 'role NAME' or 'topic NAME', got 'role a.b'"),
        (with_(uses=["role storage"]), "uses"),
        (with_(resources={"memory_mib": 0}), "resources.memory_mib"),
        (with_(resources={"cpu": "much"}), "resources.cpu"),
        (with_(restart={"intensity": -1}), "restart.intensity"),
        (with_(restart={"backoff_s": [1]}), "restart.backoff_s"),
        (with_(requires=7), "requires"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_field(document: object, says: str) -> None:
    """The operator gets the file, the field, what was expected and what came: in one line."""
    with pytest.raises(ManifestInvalid) as caught:
        parse(document, "/m/storage/module.json")
    text = str(caught.value)
    assert text.startswith("/m/storage/module.json: ")
    assert says in text
    assert "`" not in text
    assert len(text.splitlines()) == 1
