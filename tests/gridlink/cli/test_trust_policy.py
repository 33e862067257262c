"""`gridlink init --cluster --policy`: which rights the machines get, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridlink.bus.trust import read_trust
from gridlink.cli.trust import Bounds, Network, make_cluster
from gridlink.cli.trust_policy import modules_of, policy_in, rights
from gridlink.errors import ConfigInvalid, TrustInvalid

RULES: list[dict[str, Any]] = [
    {"from": "guard", "to": "role oltc", "types": ["raise"]},
    {"from": "meter", "to": "topic measurement"},
    {"from": "meter@m2", "to": "role storage"},
]


def published(trust: Path, machine: str) -> set[str]:
    """What a machine's user may publish to roles and topics."""
    cluster = read_trust(trust / machine, "a").cluster
    assert cluster is not None
    allowed = cluster.permissions[machine]["publish"]["allow"]
    return {subject for subject in allowed if subject.startswith(("gl.a.role", "gl.a.topic"))}


def test_a_machine_gets_what_its_modules_may_send(tmp_path: Path) -> None:
    """A machine that isn't named may run any module; a rule for one instance is for that machine alone."""
    bounds = Bounds(tuple(RULES), ("m1=guard",))
    make_cluster(tmp_path, "a", ["m1", "m2", "m3"], {}, Network(), bounds)
    assert published(tmp_path, "m1") == {"gl.a.role.oltc.raise"}
    both = {"gl.a.role.oltc.raise", "gl.a.topic.measurement.*"}
    assert published(tmp_path, "m2") == both | {"gl.a.role.storage.*"}
    assert published(tmp_path, "m3") == both


def test_the_policy_stays_until_another_is_given_or_it_is_lifted(tmp_path: Path) -> None:
    """Adding a machine must not open the site."""
    make_cluster(tmp_path, "a", ["m1"], {}, Network(), Bounds(tuple(RULES), ("m1=guard",)))
    make_cluster(tmp_path, "a", ["m2"], {}, Network())
    assert published(tmp_path, "m1") == {"gl.a.role.oltc.raise"}
    make_cluster(tmp_path, "a", [], {}, Network(), Bounds((RULES[1],), ("m1=meter",)))
    assert published(tmp_path, "m1") == {"gl.a.topic.measurement.*"}
    make_cluster(tmp_path, "a", [], {}, Network(), Bounds(lifted=True))
    cluster = read_trust(tmp_path / "m1", "a").cluster
    assert cluster is not None
    assert cluster.permissions == {}


def test_processes_that_a_node_starts_have_its_rights() -> None:
    """They use its credentials, and are nodes named `m1-…`."""
    found = rights([{"from": "meter@m1-meter", "to": "role storage"}], ["m1", "m2"], {}, "a")
    assert "gl.a.role.storage.*" in found["m1"]["publish"]["allow"]
    assert "gl.a.role.storage.*" not in found["m2"]["publish"]["allow"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "expected one entry 'access' among its proxies, got 0"),
        ({"proxies": [{"proxy": "access", "policy": []}] * 2}, "got 2"),
        ({"proxies": [{"proxy": "access", "policy": [], "for": {"role": "oltc"}}]}, "got one with 'for'"),
        ({"proxies": [{"proxy": "access", "policy": [{"from": "a", "to": "nobody x"}]}]}, "to: expected role NAME"),
    ],
)  # fmt: skip
def test_a_policy_that_a_server_cannot_keep_is_refused(tmp_path: Path, document: Any, said: str) -> None:
    """Before anything is made."""
    file = tmp_path / "site.json"
    file.write_text(json.dumps(document))
    with pytest.raises((TrustInvalid, ConfigInvalid), match=said):
        policy_in(file)


def test_a_policy_that_is_not_there_and_modules_of_a_stranger_are_refused(tmp_path: Path) -> None:
    """With what was expected."""
    with pytest.raises(TrustInvalid, match=r"expected a site file, got: No such file"):
        policy_in(tmp_path / "site.json")
    with pytest.raises(TrustInvalid, match=r"names 'm9': expected one of --machines \(m1\)"):
        modules_of(["m9=a"], ["m1"])
    assert modules_of(["m1=a, b", "m1=c"], ["m1"]) == {"m1": ("a", "b", "c")}


def test_permissions_of_a_stranger_in_cluster_json_are_refused(tmp_path: Path) -> None:
    """A misspelt name would leave a machine without bounds."""
    make_cluster(tmp_path, "a", ["m1"], {}, Network(), Bounds(tuple(RULES)))
    file = tmp_path / "m1" / "cluster.json"
    file.write_text(file.read_text().replace('"permissions": {\n    "m1"', '"permissions": {\n    "m9"'))
    with pytest.raises(TrustInvalid, match="expected permissions of its users"):
        read_trust(tmp_path / "m1", "a")
