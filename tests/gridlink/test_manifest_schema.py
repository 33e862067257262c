"""The published schema of the manifest refuses what the node refuses, and takes what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gridlink.cli.schemas import ROOT
from gridlink.errors import ManifestInvalid
from gridlink.manifest import parse
from gridlink.node.bundle import find_bundles
from tests.gridlink.payloads import SCALARS, fitting, spoiled, valid, without_whole_fractions
from tests.gridlink.test_manifest import FULL, GOOD, with_

BUNDLES = [*find_bundles(ROOT / "modules"), ROOT / "appmanager", ROOT / "nodemanager"]
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
MANIFEST = json.loads((ROOT / "schemas" / "manifest.json").read_text())


def parses(document: Any) -> bool:
    """What gridlink.manifest says."""
    try:
        parse(document, "module.json")
    except ManifestInvalid:
        return False
    return True


@pytest.mark.parametrize("directory", BUNDLES, ids=lambda path: str(path.name))
def test_the_manifest_of_each_shipped_bundle_fits_the_schema(directory: Path) -> None:
    """The published schema is for editors and for those who make bundles elsewhere."""
    jsonschema.validate(json.loads((directory / "module.json").read_text()), MANIFEST, cls=Draft202012Validator)


@pytest.mark.parametrize("document", [GOOD, FULL])
def test_a_good_manifest_fits_the_schema(document: Any) -> None:
    """With the least and with all that it may hold."""
    assert valid(MANIFEST, document)


REFUSED: list[Any] = [
    [], None, "storage", with_(name=None), with_(version=None), with_(entry=None), with_(colour="red"),
    with_(requires={"python": [">=3"]}), with_(requires={"platform": "linux"}), with_(requires={"platform": [1]}),
    with_(requires=7), with_(resources={"memory": 8}), with_(restart={"times": 8}), with_(resources={"memory_mib": 0}),
    with_(resources={"cpu": "much"}), with_(restart={"intensity": -1}), with_(restart={"intensity": 1.5}),
    with_(restart={"backoff_s": [1]}), with_(restart={"backoff_s": [1, 2, 3]}), with_(restart={"backoff_s": [0, 1]}),
    with_(version="1.0"), with_(version="01.0.0"), with_(version="1.0.0\n"), with_(version=1), with_(version="1.0.0-"),
    with_(version="1.0.0-a..b"), with_(version="1.0.0-01"), with_(version="1.0.0+"), with_(version="1\u0661.0.0"),
    with_(name="Storage"), with_(name="my-module"), with_(name="storage\n"), with_(name="a" * 65), with_(name=""),
    with_(entry="storage.Storage"), with_(entry="storage:Storage\n"), with_(entry=":A"), with_(mode="thread"),
    with_(replicas="two"), with_(trust="maybe"), with_(into="Node"), with_(uses=["role storage"]),
    with_(uses={"storage": []}), with_(uses={"role a.b": []}), with_(uses={"role a\n": []}),
    with_(uses={"role a": "b"}),
    with_(durable="measurement"), with_(idempotent=[1]), with_(resources=[]), with_(restart=[]), with_(trust=True),
]  # fmt: skip


@pytest.mark.parametrize("document", REFUSED, ids=lambda document: str(document)[-40:])
def test_what_the_manifest_refuses_the_schema_refuses(document: Any) -> None:
    """An editor that checks `module.json` by the schema must not let through what the node will refuse."""
    assert (parses(document), valid(MANIFEST, document)) == (False, False)


WORDS = (
    "storage my-module 1.0.0 1.0 1.0.0-rc.1+b5 a:A a.b:C node fork many one standby untrusted role platform python"
    " >=3.11 linux-aarch64"
)
NEARLY = st.sampled_from([*WORDS.split(), "role storage", "topic a_b-c", "role a b"])
FIELDS = [name for name in FULL if name != "resources"]
PARTS = st.recursive(
    NEARLY | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NEARLY | st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
MANIFESTS = spoiled(
    st.one_of(
        st.builds(lambda more: {**GOOD, **more}, st.dictionaries(st.sampled_from(FIELDS), PARTS, max_size=2)),
        fitting({"$ref": "#/$defs/Manifest"}, MANIFEST["$defs"]),
        st.builds(
            lambda more: {**FULL, **more}, st.fixed_dictionaries({}, optional={"uses": PARTS, "requires": PARTS})
        ),
    )
)


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(MANIFESTS)
def test_manifest_and_schema_agree_on_generated_documents(document: Any) -> None:
    """In both directions: neither is the stricter one."""
    document = without_whole_fractions(document)
    assert parses(document) == valid(MANIFEST, document)
