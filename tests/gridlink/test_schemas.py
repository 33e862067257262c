"""The published schemas: made from the types, valid, and saying neither more nor less than what is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gridlink.cli.schemas import ROOT, documents, published, shipped, spelled, write
from gridlink.codec import codec
from gridlink.compatibility import misfits
from gridlink.contract import contract_of, schema_of
from gridlink.document import Exchange, event_document, exchanges, payload_of, request_document, schema_document
from gridlink.errors import ModuleInvalid, PayloadInvalid
from gridlink.manifest import Manifest
from gridlink.module import Module, request
from gridlink.registry.entry import KINDS
from tests.gridlink.payloads import fitting, spoiled, valid, without_whole_fractions

MODULES = shipped()
DOCUMENTS = documents(MODULES)
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def payload_types() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Every type on the wire of the shipped modules and the registry, with its published schema, by a readable name."""
    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    for manifest, contract, _ in MODULES:
        for served in contract.requests.values():
            path = f"role/{contract.roles[0]}.json" if contract.roles else f"instance/{manifest.name}.json"
            for part, type_ in (("payload", served.payload), ("reply", served.reply)):
                found[f"{manifest.name}.{served.type}.{part}"] = type_, payload_of(DOCUMENTS[path], served.type, part)
        for topic, published_types in contract.published.items():
            for event, type_ in published_types.items():
                found[f"{topic}.{event}"] = type_, payload_of(DOCUMENTS[f"topic/{topic}.json"], event)
        for heard in contract.heard:
            name = f"{manifest.name} hears {heard.topic}.{heard.type}"
            found[name] = heard.payload, {"$defs": {}, **schema_of(heard.payload)}
    for kind, type_ in KINDS.items():
        found[f"registry.{kind}"] = type_, payload_of(DOCUMENTS["registry.json"], kind)
    return found


TYPES = payload_types()


def decodes(type_: Any, body: bytes) -> bool:
    """What the codec says."""
    try:
        codec(type_).decode(body)
    except PayloadInvalid:
        return False
    return True


# The files.


def test_the_published_schemas_are_those_of_the_types() -> None:
    """Drift: who changes a type runs `make schemas`, and sees in the diff what others will see."""
    assert published(ROOT / "schemas") == DOCUMENTS.keys(), "run `make schemas`"
    for path, document in DOCUMENTS.items():
        assert (ROOT / "schemas" / path).read_bytes() == spelled(document), f"{path}: run `make schemas`"


def test_every_role_and_topic_of_the_use_case_is_published() -> None:
    """A module that is forgotten by the generator would drift unseen."""
    roles = {"appmanager", "dashboard_interface", "grid", "oltc", "storage", "voltage_guard", "voltage_problem_handler"}
    topics = {"health", "measurement", "provisioning", "tap_position", "voltage_problem"}
    expected = {f"role/{name}.json" for name in roles} | {f"topic/{name}.json" for name in topics}
    assert (
        expected
        | {
            "apply.json",
            "bundle.json",
            "headers.json",
            "manifest.json",
            "registry.json",
            "site.json",
            "instance/nodemanager.json",
        }
        == DOCUMENTS.keys()
    )


def test_the_command_writes_what_is_missing_and_removes_what_is_no_more(tmp_path: Path) -> None:
    """`make schemas`, with the interpreter of a developer: a process of its own, in which no bundle is on the path."""
    (tmp_path / "role").mkdir()
    (tmp_path / "role" / "gone.json").write_text("{}")
    command = [sys.executable, "-m", "gridlink.cli.schemas", "--out", str(tmp_path)]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50)
    assert set(first.stdout.split()) == {*DOCUMENTS, "role/gone.json"}
    assert published(tmp_path) == DOCUMENTS.keys()
    assert (tmp_path / "role" / "storage.json").read_bytes() == spelled(DOCUMENTS["role/storage.json"])
    assert write(DOCUMENTS, tmp_path) == []


@pytest.mark.parametrize("path", sorted(DOCUMENTS))
def test_each_document_is_a_valid_schema_of_2020_12(path: str) -> None:
    """And so is each schema in it: the metaschema doesn't look into `requests` and `events`."""
    document = DOCUMENTS[path]
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    kind = path.removesuffix(".json").replace("/", ":")
    assert document["$id"] == f"urn:gridlink:schema:{kind}"
    Draft202012Validator.check_schema(document)
    for entry in [*document.get("requests", {}).values(), *document.get("events", {}).values()]:
        for part in ("payload", "reply"):
            if part in entry:
                Draft202012Validator.check_schema(entry[part])


@pytest.mark.parametrize("path", sorted(DOCUMENTS))
def test_every_reference_in_a_document_leads_to_a_definition_of_it(path: str) -> None:
    """Who copies one file has all of it."""
    document = DOCUMENTS[path]
    references = {part["$ref"] for part in walk(document) if "$ref" in part}
    assert references <= {f"#/$defs/{name}" for name in document.get("$defs", {})}


def walk(part: Any) -> list[dict[str, Any]]:
    """All objects in a document."""
    if isinstance(part, list):
        return [inner for item in part for inner in walk(item)]
    if not isinstance(part, dict):
        return []
    return [part, *(inner for value in part.values() for inner in walk(value))]


def test_a_payload_is_named_by_the_documents_id_and_a_pointer() -> None:
    """What docs/contracts.md tells a stranger to do with the files."""
    files = [json.loads((ROOT / "schemas" / path).read_text()) for path in DOCUMENTS]
    registry: Any = Registry().with_resources([(file["$id"], DRAFT202012.create_resource(file)) for file in files])
    reference = {"$ref": "urn:gridlink:schema:role:storage#/requests/addMeasurement/payload"}
    check = Draft202012Validator(reference, registry=registry)
    assert check.is_valid({"dataPoint": "bus_3", "value": 1.0, "timestamp_s": 0})
    assert not check.is_valid({"dataPoint": "bus_3", "value": "high", "timestamp_s": 0})


def test_docstrings_come_without_the_indentation_of_their_source() -> None:
    """They are read by people who don't have the source."""
    descriptions = [
        str(part["description"]) for doc in DOCUMENTS.values() for part in walk(doc) if "description" in part
    ]
    assert not [text for text in descriptions if "\n    " in text and "{" not in text]


# Documents.


def test_two_types_of_one_name_are_kept_apart_in_a_document() -> None:
    """Each module calls some type `Status`; in one document neither may stand for the other."""
    outer = {"type": "object", "properties": {"a": {"$ref": "#/$defs/T"}}}
    one, two = ({"$ref": "#/$defs/S", "$defs": {"S": outer, "T": inner}} for inner in ({}, {"type": "integer"}))
    document = request_document("role", "r", "", {"ask": Exchange(one, two), "more": Exchange(two, one)})
    assert document["$defs"].keys() == {"S", "T", "S_2", "T_2"}
    for type_, payload, reply in (("ask", one, two), ("more", two, one)):
        for part, schema in (("payload", payload), ("reply", reply)):
            taken = payload_of(document, type_, part)
            assert valid(taken, {"a": "x"}) == valid(schema, {"a": "x"})


def test_a_payload_that_a_document_does_not_have_is_refused() -> None:
    """With a sentence, not a KeyError."""
    with pytest.raises(ModuleInvalid, match="role storage has no payload of 'fly'"):
        payload_of(DOCUMENTS["role/storage.json"], "fly")
    with pytest.raises(ModuleInvalid, match="topic measurement has no reply of 'voltage'"):
        payload_of(DOCUMENTS["topic/measurement.json"], "voltage", "reply")


def test_modules_that_contradict_each_other_are_refused() -> None:
    """Two publishers of one event, or two modules that serve one role, can't have one document."""
    manifest, contract, text = next(found for found in MODULES if found[0].name == "data_generator")
    with pytest.raises(ModuleInvalid, match="two modules serve role grid"):
        documents([(manifest, contract, text), (manifest, contract, text)])
    changed = {"measurement": {**contract.published["measurement"], "voltage": int}}
    other = type(contract)((), {}, (), (), changed)
    with pytest.raises(ModuleInvalid, match=r"topic measurement: .* publishes another 'voltage'"):
        documents([(manifest, contract, text), (manifest, other, text)])


def test_a_document_without_requests_or_with_a_plain_type_is_valid() -> None:
    """The corners of the format."""

    class Plain(Module[None]):
        """Plain types."""

        roles = ("plain",)

        @request("count")
        async def count(self, names: list[str]) -> int:
            """How many."""
            return len(names)

    document = request_document("role", "plain", "", exchanges(contract_of(Plain), ("count",)))
    served = {"description": "How many.", "idempotent": True}
    assert document["requests"]["count"] == {**served, "payload": schema_of(list[str]), "reply": {"type": "integer"}}
    for each in (document, event_document("topic:t", "topic t", "", {}), schema_document("x", "x", {"type": "null"})):
        Draft202012Validator.check_schema(each)


# Types on the wire.


@pytest.mark.parametrize("name", sorted(TYPES))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_the_decoder_and_the_published_schema_agree(name: str, data: st.DataObject) -> None:
    """For every payload, reply and event of the shipped modules, valid or not. Exceptions: see KNOWN below."""
    type_, schema = TYPES[name]
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    value = data.draw(spoiled(fitting(bare, schema["$defs"])))
    if type_ is None and value == {}:
        return  # known: no_payload
    value = without_whole_fractions(value)  # known: whole_fraction
    body = json.dumps(value).encode()
    assert decodes(type_, body) == valid(schema, value), f"{value!r}"


def test_the_types_that_are_compared_are_all_there_are() -> None:
    """A test over an empty list can't fail."""
    assert {"storage.addMeasurement.payload", "nodemanager.release.payload", "measurement.voltage"} <= TYPES.keys()
    assert len(TYPES) > 50


TAP: Any = TYPES["oltc_controller.setTapPosition.payload"]
VOLTAGE: Any = TYPES["measurement.voltage"]
NOTHING: Any = TYPES["storage.status.payload"]
HUGE = b"1" + b"0" * 400

# name: (type and schema, body, the decoder takes it, the schema does); the reasons are in docs/contracts.md
KNOWN: dict[str, tuple[Any, bytes, bool, bool]] = {
    "whole_fraction": (TAP, b'{"position": 1.0}', False, True),
    "exponent": (TAP, b'{"position": 1e2}', False, True),
    "no_payload": (NOTHING, b"{}", True, False),
    "beyond_a_double": (VOLTAGE, b'{"meter": "m", "value_pu": ' + HUGE + b', "timestamp_s": 0}', False, True),
    "surrogate": (VOLTAGE, b'{"meter": "\\ud800", "value_pu": 1, "timestamp_s": 0}', False, True),
    "given_twice": (VOLTAGE, b'{"meter": 1, "meter": "m", "value_pu": 1, "timestamp_s": 0}', False, True),
    "not_a_number": (VOLTAGE, b'{"meter": "m", "value_pu": NaN, "timestamp_s": 0}', False, True),
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_known_disagreement_is_as_it_is_described(name: str) -> None:
    """They are few, the decoder is the stricter one but once, and each has its reason in the documentation."""
    (type_, schema), body, by_decoder, by_schema = KNOWN[name]
    assert (decodes(type_, body), valid(schema, json.loads(body))) == (by_decoder, by_schema)
    assert f"`{name}`" in (ROOT / "docs" / "contracts.md").read_text()


@pytest.mark.parametrize("number", [2**53 + 1, 2**64, -(2**70), 10**40])
def test_big_whole_numbers_agree(number: int) -> None:
    """JSON has no largest integer, and neither has Python."""
    for type_, schema, value in (
        (*TAP, {"position": number}),
        (*VOLTAGE, {"meter": "m", "value_pu": number, "timestamp_s": 0}),
    ):
        assert decodes(type_, json.dumps(value).encode())
        assert valid(schema, value)


@pytest.mark.parametrize("name", ["storage.addMeasurement.payload", "measurement.voltage", "storage.status.payload"])
@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_a_payload_that_is_nested_without_end_is_refused_as_a_payload(name: str, depth: int) -> None:
    """A field that no type names is passed over, but not at any depth: no foreign exception may leave the codec."""
    body = b'{"dataPoint": "a", "value": 1, "timestamp_s": 0, "unknown": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(PayloadInvalid):
        codec(TYPES[name][0]).decode(body)


def test_no_payload_with_space_in_it_is_still_none() -> None:
    """`{ }` is `{}`."""
    assert codec(None).decode(b" {\n} ") is None


@pytest.mark.parametrize("manifest, contract", [(m, c) for m, c, _ in MODULES if c.heard], ids=lambda m: str(m)[:60])
def test_what_is_published_fits_what_the_subscribers_read(manifest: Manifest, contract: Any) -> None:
    """Each bundle has its own types; the published schemas are what holds them together."""
    for heard in contract.heard:
        sent = payload_of(DOCUMENTS[f"topic/{heard.topic}.json"], heard.type)
        assert not misfits(sent, schema_of(heard.payload)), (manifest.name, heard)


@pytest.mark.parametrize("manifest", [manifest for manifest, _, _ in MODULES], ids=lambda manifest: str(manifest.name))
def test_what_a_manifest_uses_is_published(manifest: Manifest) -> None:
    """A name in `uses` that nobody serves is a typing error."""
    for key, types in manifest.uses.items():
        document = DOCUMENTS[f"{key.replace(' ', '/')}.json"]
        assert set(types) <= {*document.get("requests", {}), *document.get("events", {})}, key
