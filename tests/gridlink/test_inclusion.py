"""The inclusion of one JSON Schema in another: sound (an example never shows otherwise), and not needlessly strict."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from gridlink.compatibility import Kind, compatible, misfits
from gridlink.document import Exchange, request_document
from tests.gridlink.payloads import closed, pairs, valid, values_of, versions, whole

INTEGER, STRING = {"type": "integer"}, {"type": "string"}
ANY_LIST, ANY_MAP = {"type": "array"}, {"type": "object"}


def fields(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """An object's schema, as a dataclass has it."""
    return {"type": "object", "properties": properties, "required": list(required)}


def tree(branches: tuple[str, ...]) -> dict[str, Any]:
    """Types that refer to each other; B1 and B2 differ by `x`."""
    one, two = {"$ref": "#/$defs/B1"}, {"$ref": "#/$defs/C"}
    definitions = {"B1": fields(p=two, x=INTEGER), "B2": fields(p=two, x=STRING), "C": fields(q=one)}
    return {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in branches], "$defs": definitions}


SENT_TREE = {
    "$ref": "#/$defs/S",
    "$defs": {"S": fields(p={"$ref": "#/$defs/T"}, x=STRING), "T": fields(q={"$ref": "#/$defs/S"})},
}
APART: list[tuple[Any, Any, Any]] = [  # sent, read, a value that the one takes and the other refuses
    (fields(a=INTEGER), fields(("a",), a=INTEGER), {}),
    (fields(a=INTEGER), {**fields(), "additionalProperties": False}, {"a": 1}),
    (fields(a=INTEGER), {**fields(), "additionalProperties": STRING}, {"a": 1}),
    ({"type": "object", "additionalProperties": INTEGER}, fields(a=STRING), {"a": 1}),
    (ANY_MAP, fields(a=STRING), {"a": 1}),
    ({"type": "object", "additionalProperties": INTEGER}, {"type": "object", "additionalProperties": STRING}, {"b": 1}),
    (ANY_MAP, {"type": "object", "minProperties": 1}, {}),
    (fields(a=INTEGER), {"type": "object", "minProperties": 1}, {}),
    (ANY_MAP, {"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}),
    (fields(a=INTEGER, b=INTEGER), {"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}),
    (ANY_MAP, {"type": "object", "propertyNames": {"pattern": "^a"}}, {"b": 1}),
    (fields(b=INTEGER), {"type": "object", "propertyNames": {"pattern": "^a"}}, {"b": 1}),
    ({**ANY_MAP, "propertyNames": {"maxLength": 2}}, {**ANY_MAP, "propertyNames": {"maxLength": 1}}, {"ab": 1}),
    ({**ANY_MAP, "patternProperties": {"^a": STRING}}, {**ANY_MAP, "additionalProperties": INTEGER}, {"a": "x"}),
    (ANY_LIST, {"type": "array", "maxItems": 1}, [1, 2]),
    ({"type": "array", "maxItems": 2}, {"type": "array", "maxItems": 1}, [1, 2]),
    (ANY_LIST, {"type": "array", "minItems": 1}, []),
    (ANY_LIST, {"type": "array", "uniqueItems": True}, [1, 1]),
    ({"type": "array", "items": INTEGER}, {"type": "array", "prefixItems": [INTEGER], "items": STRING}, [1, 2]),
    ({"type": "array", "prefixItems": [STRING], "items": False}, {"type": "array", "items": INTEGER}, ["a"]),
    ({"type": "array", "prefixItems": [STRING], "items": INTEGER}, {"type": "array", "items": STRING}, ["a", 1]),
    ({"type": "boolean"}, {"enum": [True]}, False),
    ({"type": "boolean"}, {"const": 1}, True),
    ({"type": "null"}, {"enum": [0, False, ""]}, None),
    (STRING, {"enum": ["a", "b"]}, "c"),
    ({"enum": ["a", 1]}, {"enum": ["a"]}, 1),
    ({"const": "b"}, {"type": "string", "pattern": "^a"}, "b"),
    ({"const": {"a": 1}}, {"type": "object", "properties": {"a": STRING}}, {"a": 1}),
    ({"const": [1]}, {"type": "array", "items": STRING}, [1]),
    ({"type": "number"}, INTEGER, 1.5),
    ({"type": "number", "minimum": 1}, {"type": "number", "exclusiveMinimum": 1}, 1),
    ({"type": "number", "maximum": 1}, {"type": "number", "exclusiveMaximum": 1}, 1),
    ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 1}, 0.5),
    (INTEGER, {"type": "integer", "maximum": 5}, 6),
    (INTEGER, {"type": "integer", "multipleOf": 2}, 1),
    ({"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 2}, 3),
    (STRING, {"type": "string", "maxLength": 2}, "abc"),
    (STRING, {"type": "string", "minLength": 1}, ""),
    (STRING, {"type": "string", "pattern": "^a"}, "b"),
    ({"type": ["integer", "null"]}, INTEGER, None),
    ({}, {"type": ["integer", "null"]}, "a"),
    ({"anyOf": [INTEGER, STRING]}, INTEGER, "a"),
    ({"oneOf": [INTEGER, STRING]}, INTEGER, "a"),
    (INTEGER, {"allOf": [{"type": "integer"}, {"type": "integer", "minimum": 0}]}, -1),
    (INTEGER, {"anyOf": [STRING, {"type": "integer", "minimum": 0}], "type": "integer"}, -1),
    (SENT_TREE, tree(("B1", "B2")), {"x": "s", "p": {"q": {"x": "s"}}}),
]
WITHIN: list[tuple[Any, Any]] = [
    (fields(("a",), a=INTEGER), fields(a={"type": "number"}, b=STRING)),
    ({"type": "object", "additionalProperties": INTEGER}, fields(a={"anyOf": [STRING, {"type": "number"}]})),
    (fields(("a",), a=INTEGER), {"type": "object", "minProperties": 1, "maxProperties": 1}),
    (fields(ab=INTEGER), {"type": "object", "propertyNames": {"pattern": "^a"}}),
    ({"type": "array", "prefixItems": [INTEGER], "items": False}, {"type": "array", "items": INTEGER, "maxItems": 1}),
    ({"type": "array", "maxItems": 1}, {"type": "array", "uniqueItems": True}),
    ({"type": "boolean"}, {"enum": [True, False]}),
    ({"enum": ["a", "ab"]}, {"type": "string", "pattern": "^a", "minLength": 1, "maxLength": 2}),
    ({"enum": [2, None]}, {"anyOf": [{"type": "integer", "minimum": 0, "multipleOf": 2}, {"type": "null"}]}),
    ({"const": {"a": [1]}}, fields(("a",), a={"type": "array", "items": INTEGER, "minItems": 1})),
    ({"type": "integer", "exclusiveMinimum": 4}, {"type": "integer", "minimum": 5}),
    ({"type": "integer", "minimum": 5}, {"type": "number", "exclusiveMinimum": 4}),
    ({"type": "integer", "multipleOf": 4}, {"type": "integer", "multipleOf": 2}),
    ({"type": ["integer", "null"]}, {"anyOf": [{"type": "null"}, {"type": "number"}]}),
    (False, INTEGER),
    (STRING, True),
    ({}, {"title": "anything"}),
    ({"allOf": [INTEGER]}, {"allOf": [{"type": "number"}]}),
    (SENT_TREE, SENT_TREE["$defs"]["S"] | {"$defs": SENT_TREE["$defs"]}),  # type: ignore[index]
]


@pytest.mark.parametrize(("sent", "read", "value"), APART, ids=str)
def test_what_one_schema_takes_and_the_other_refuses_is_a_misfit(sent: Any, read: Any, value: Any) -> None:
    """A counterexample a keyword: the oracle confirms it, and the comparison may not miss it."""
    assert (valid(closed(sent), value), valid(read, value)) == (True, False)
    assert misfits(sent, read)


@pytest.mark.parametrize(("sent", "read"), WITHIN, ids=str)
def test_what_is_plainly_included_is_no_misfit(sent: Any, read: Any) -> None:
    """Soundness alone would be had by refusing everything."""
    assert misfits(sent, read) == ()


@pytest.mark.parametrize(
    "read",
    [
        {"not": {"type": "null"}},
        {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"$ref": "https://elsewhere.example/schema.json"},
        {"type": "array", "contains": {"const": 1}},
    ],
)
def test_a_construct_that_is_not_followed_counts_as_a_break_and_is_named(read: Any) -> None:
    """Silence about what we can't judge would be a false promise."""
    found = misfits({"type": read.get("type", "integer")}, read)
    assert [misfit.kind for misfit in found] == [Kind.UNJUDGED]
    assert misfits(read, read) == ()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, {"type": "integer"}),
        ({"type": "string"}, {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"const": 1}]}}}),
    ],
)
def test_a_schema_that_is_defined_by_itself_alone_ends_and_is_no_proof(sent: Any, read: Any) -> None:
    """An assumption may serve inside of the value that it is about, never for that value itself."""
    assert misfits(sent, read)


def test_a_document_of_many_nested_types_is_compared_in_time() -> None:
    """Each type refers twice to the next: a comparison that forgets would take 2**60 steps."""

    def chain(extra: dict[str, Any]) -> dict[str, Any]:
        definitions: dict[str, Any] = {"T60": {"type": "object", "properties": extra, "required": []}}
        for number in range(60):
            reference = {"$ref": f"#/$defs/T{number + 1}"}
            fields = {"left": reference, "right": reference}
            definitions[f"T{number}"] = {"type": "object", "properties": fields, "required": []}
        return {"$ref": "#/$defs/T0", "$defs": definitions}

    assert misfits(chain({"a": {"type": "integer"}}), chain({"a": {"type": "number"}})) == ()
    broken = chain({"a": {"type": "null"}})
    assert misfits(chain({"a": {"type": "integer"}}), broken)
    pair = [Exchange(schema, {}) for schema in (chain({"a": {"type": "integer"}}), broken)]
    old, new = (request_document("role", "storage", "", {"add": exchange}) for exchange in pair)
    assert not compatible(old, new)


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@settings(max_examples=600, deadline=None, suppress_health_check=SLOW)
@given(st.data(), versions())
def test_never_is_compatible_said_where_an_example_shows_otherwise(
    data: st.DataObject, pair: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """Soundness: all that is sent by one version, fields it names and no others, is valid by the other version."""
    sent, read = pair
    found = misfits(sent, read)
    event("compatible" if not found else "breaks")
    assume(not found)
    sends = closed(sent)
    for _ in range(4):
        value = data.draw(values_of(sent))
        if valid(sends, value):
            assert valid(read, value), f"{value!r}"


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(st.data(), pairs())
def test_nor_is_it_said_of_small_schemas_that_have_little_to_do_with_each_other(
    data: st.DataObject, pair: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """Two drawn apart, of one kind: bounds of all sorts meet."""
    sent, read = pair
    assume(not misfits(sent, read))
    for _ in range(4):
        value = data.draw(values_of(sent))
        if valid(closed(sent), value):
            assert valid(read, value), f"{value!r}"


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(whole())
def test_every_schema_is_compatible_with_itself(schema: dict[str, Any]) -> None:
    """The least that completeness asks for."""
    assert misfits(schema, copy.deepcopy(schema)) == ()
