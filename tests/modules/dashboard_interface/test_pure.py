"""The other pure parts: targets, hosts, configuration, list of modules, OpenAPI document."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dashboard_interface.page
from dashboard_interface.api import ModuleEntry
from dashboard_interface.config import Config
from dashboard_interface.endpoints import ROUTES, VERSION
from dashboard_interface.guard import host_name
from dashboard_interface.module_list import GONE, changes
from dashboard_interface.openapi import document
from dashboard_interface.problem import ProblemError
from dashboard_interface.request import split_target
from dashboard_interface.response import json_text
from dashboard_interface.route import find

BUNDLE = Path(dashboard_interface.page.__file__).parents[1]


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_any_target_is_split_or_refused(target: str) -> None:
    """A target comes from anybody; nothing but ProblemError 400 may come of it."""
    try:
        assert split_target(target).segments
    except ProblemError as error:
        assert error.status == 400


def test_an_encoded_slash_stays_in_its_segment() -> None:
    """Decoding before the split would let a name reach another route."""
    assert split_target("/api/measurements/..%2Fgrid?a=%20").segments == ("api", "measurements", "../grid")


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("LOCALHOST:80", "localhost"),
        ("localhost.", "localhost"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        ("127.0.0.1:99", "127.0.0.1"),
        ("localhost:80@evil", ""),
        ("localhost@evil", "localhost@evil"),
        ("[::1]evil", ""),
        ("", ""),
    ],
)
def test_the_host_is_read_without_its_port(authority: str, name: str) -> None:
    """Tunnels change the port; nothing else may pass for loopback."""
    assert host_name(authority) == name


def test_the_shipped_configuration_is_a_valid_one() -> None:
    """config.json beside the manifest is what a first start reads."""
    config = msgspec.json.decode((BUNDLE / "config.json").read_bytes(), type=Config)
    assert (config.host, config.port) == ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "0.0.0.0"},
        {"port": 70000},
        {"max_streams": 32, "max_connections": 32},
        {"summary_every_s": 0.1},
        {"allowed_hosts": ["Example.org:80"]},
        {"request_timeout_s": 0},
        {"max_header_bytes": 10},
    ],
)
def test_a_configuration_out_of_bounds_is_refused_with_its_field(fields: dict[str, object]) -> None:
    """The operator reads which field, what was expected and what came."""
    with pytest.raises(msgspec.ValidationError, match=rf"{next(iter(fields))}.*expected.*came"):
        msgspec.json.decode(json.dumps(fields), type=Config)


def entry(instance: str, state: str, reason: str = "") -> ModuleEntry:
    """A registry entry."""
    return ModuleEntry(instance, instance.partition("@")[0], "n", "m", "node", "1.0.0", state, reason, [], [])


def test_changes_are_what_an_operator_would_be_told() -> None:
    """New, changed, gone; what stayed is not news."""
    before = {
        each.instance: each for each in (entry("a@n", "RUNNING"), entry("b@n", "RUNNING"), entry("c@n", "RUNNING"))
    }
    after = {
        each.instance: each
        for each in (entry("a@n", "RUNNING"), entry("b@n", "FAILED", "why"), entry("d@n", "STARTING"))
    }
    found = [(each.instance, each.previous, each.state, each.reason) for each in changes(before, after)]
    assert found == [
        ("b@n", "RUNNING", "FAILED", "why"),
        ("d@n", None, "STARTING", ""),
        ("c@n", "RUNNING", GONE, ""),
    ]
    assert changes(after, after) == []


def test_the_document_describes_every_route_and_no_other() -> None:
    """One table for both: nothing undescribed is served, nothing described is missing."""
    described = document(ROUTES, VERSION)
    pairs = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    assert pairs == {(route.path, route.method) for route in ROUTES}
    assert described["openapi"].startswith("3.1")
    operations = [m["operationId"] for methods in described["paths"].values() for m in methods.values()]
    assert len(set(operations)) == len(operations)


def test_every_schema_of_the_document_is_valid_and_every_reference_resolves() -> None:
    """JSON Schema 2020-12 is what OpenAPI 3.1 uses; generators stumble over a dangling reference."""
    described = json.loads(json_text(document(ROUTES, VERSION)))
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [ref for each in node.values() for ref in references(each)]
        return [ref for each in node for ref in references(each)] if isinstance(node, list) else []

    for reference in references(described):
        place = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_parameters_are_described_where_they_are_read() -> None:
    """The path's are required, the query's are not; bounds are shown."""
    described = document(ROUTES, VERSION)["paths"]["/api/measurements/{dataPoint}"]["get"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in described] == [
        ("dataPoint", "path", True),
        ("from_s", "query", False),
        ("to_s", "query", False),
        ("limit", "query", False),
    ]
    assert described[3]["schema"]["maximum"] == 5000


def test_the_manifest_has_the_version_of_the_document() -> None:
    """Two places for one version would drift."""
    manifest = json.loads((BUNDLE / "module.json").read_bytes())
    assert manifest["version"] == VERSION


def test_each_route_is_found_by_its_own_path() -> None:
    """No route hides another one."""
    for route in ROUTES:
        path = route.path.replace("{dataPoint}", "x")
        assert find(ROUTES, route.method, split_target(path).segments).route is route
