"""Strategies for tests of schemas: values that fit a JSON Schema, values that nearly do, and schemas themselves.

All of it is in the terms that msgspec uses for types; what is generated is plain JSON.
"""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
from hypothesis import assume
from hypothesis import strategies as st

Schema = dict[str, Any]
FRACTIONS = st.floats(-1e6, 1e6).filter(lambda number: not number.is_integer())
WORDS = st.sampled_from(["", "a", "b", "abc", "en50160", "operating", "RUNNING", "äöü", "\U0001f600", "a\x00"])
SCALARS = st.none() | st.booleans() | st.integers(-200, 200) | st.integers(-(10**30), 10**30) | FRACTIONS | WORDS
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2), max_leaves=5
)


def closed(schema: Any) -> Any:
    """The schema of what a sender sends: fields that it doesn't name are refused, at any depth."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: closed(part) for name, part in value.items()} if key in ("properties", "$defs") else closed(value)
        for key, value in schema.items()
    }
    if isinstance(schema.get("properties"), dict) and isinstance(schema.get("type"), str):
        found.setdefault("additionalProperties", False)
    return found


def fitting(schema: Any, definitions: dict[str, Any], depth: int = 4) -> st.SearchStrategy[Any]:
    """Values that fit a schema, most of the time: patterns are passed over."""
    if schema is True or not schema:
        return ANYTHING
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return st.deferred(lambda: fitting(target, definitions, depth - 1)) if depth else st.nothing()
    if "anyOf" in schema:
        return st.one_of([fitting(branch, definitions, depth) for branch in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    return _typed(schema, definitions, depth)


def _typed(schema: Schema, definitions: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            low = max(schema.get("minimum", -(2**70)), schema.get("exclusiveMinimum", -(2**70)))
            high = min(schema.get("maximum", 2**70), schema.get("exclusiveMaximum", 2**70))
            return st.integers(low, high) if low <= high else st.nothing()
        case "number":
            low, high = schema.get("minimum", -(10**6)), schema.get("maximum", 10**6)
            near = st.floats(low, high) if low <= high else st.nothing()
            return near | st.integers(low, high) if low <= high else near
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", 6)
            return WORDS | (st.text(min_size=low, max_size=high) if low <= high else st.nothing())
        case "array":
            return _array(schema, definitions, depth)
    return _object(schema, definitions, depth)


def _array(schema: Schema, definitions: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(fitting(item, definitions, depth) for item in schema["prefixItems"])).map(list)
    low, high = schema.get("minItems", 0), schema.get("maxItems", 3)
    items = fitting(schema.get("items", True), definitions, depth)
    if items.is_empty:
        return st.just([])
    return st.lists(items, min_size=low, max_size=max(low, high)) | st.just([])


def _object(schema: Schema, definitions: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        values = fitting(schema.get("additionalProperties", True), definitions, depth)
        return st.just({}) if values.is_empty else st.dictionaries(WORDS, values, max_size=2)
    fields = {name: fitting(part, definitions, depth) for name, part in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", []) if name in fields}
    return st.fixed_dictionaries(required, optional={n: part for n, part in fields.items() if not part.is_empty})


@st.composite
def spoiled(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """A value with up to two changes somewhere in it: a part replaced, removed, added or given twice."""
    value = copy.deepcopy(draw(values))
    for _ in range(draw(st.integers(0, 2))):
        value = _spoil(draw, value)
    return value


def _spoil(draw: st.DrawFn, value: Any) -> Any:
    deeper = isinstance(value, dict | list) and value and draw(st.booleans())
    if deeper and isinstance(value, dict):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: _spoil(draw, value[name])}
    if deeper:
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _spoil(draw, value[place]), *value[place + 1 :]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        gone = draw(st.sampled_from(sorted(value)))
        return {name: part for name, part in value.items() if name != gone}
    if isinstance(value, dict):
        return {**value, draw(WORDS): draw(ANYTHING)}
    if isinstance(value, list) and draw(st.booleans()):
        return [*value, draw(ANYTHING)]
    if isinstance(value, int | float) and not isinstance(value, bool) and draw(st.booleans()):
        return value + draw(st.sampled_from([-1, 1, 0.5]))
    return draw(ANYTHING)


def without_whole_fractions(value: Any) -> Any:
    """The same with `1` for `1.0`, which the decoder refuses for an integer and JSON Schema doesn't."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [without_whole_fractions(item) for item in value]
    if isinstance(value, dict):
        return {name: without_whole_fractions(part) for name, part in value.items()}
    return value


def valid(schema: Any, value: Any) -> bool:
    """The oracle."""
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def values_of(schema: Any) -> st.SearchStrategy[Any]:
    """Values that fit a whole schema, or nearly do."""
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    values = fitting(bare, schema["$defs"])
    assume(not values.is_empty)
    return spoiled(values)


# Schemas as msgspec makes them of types, and a second version of one.

NAMES = st.sampled_from(["a", "b", "c", "meter"])
DEFINITIONS = ("P", "Q")


@st.composite
def numbers(draw: st.DrawFn) -> Schema:
    """An integer or number with or without bounds."""
    found: Schema = {"type": draw(st.sampled_from(["integer", "number"]))}
    for keyword in draw(st.sets(st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]))):
        found[keyword] = draw(st.integers(-3, 3))
    if draw(st.integers(0, 9)) == 0:
        found["multipleOf"] = draw(st.integers(1, 4))
    return found


@st.composite
def strings(draw: st.DrawFn) -> Schema:
    """A string with or without bounds, or an enumeration."""
    if draw(st.booleans()):
        return {"enum": sorted(draw(st.sets(st.sampled_from(["a", "b", "abc", ""]), min_size=1)))}
    found: Schema = {"type": "string"}
    for keyword, most in (("minLength", 2), ("maxLength", 3)):
        if draw(st.booleans()):
            found[keyword] = draw(st.integers(0, most))
    if draw(st.integers(0, 4)) == 0:
        found["pattern"] = draw(st.sampled_from(["^a", "b$", "."]))
    return found


ODD: list[Schema] = [
    {"type": "null"},
    {"type": "boolean"},
    {},
    {"type": "object"},
    {"const": 1},
    {"const": {}},
    {"const": [1, "a"]},
    {"enum": [None, 1, "a"]},
    {"enum": [1, 2.5]},
    {"enum": [True, False]},
    {"type": "integer", "multipleOf": 2},
    *({"$ref": f"#/$defs/{name}"} for name in DEFINITIONS),
]
SIMPLE = st.one_of(numbers(), strings(), st.sampled_from(ODD))


def _arrays(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    sizes: st.SearchStrategy[Schema] = st.fixed_dictionaries(
        {}, optional={"minItems": st.integers(0, 2), "maxItems": st.integers(0, 3), "uniqueItems": st.booleans()}
    )
    lists = st.builds(lambda items, size: {"type": "array", "items": items, **size}, inner, sizes)
    tuples = st.lists(inner, max_size=2).map(
        lambda items: {
            "type": "array",
            "prefixItems": items,
            "items": False,
            "minItems": len(items),
            "maxItems": len(items),
        }
    )
    return lists | tuples.filter(lambda schema: bool(schema["prefixItems"]))


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    """An object as a dataclass has it, open or closed."""
    fields = draw(st.dictionaries(NAMES, inner, max_size=3))
    required = [name for name in fields if draw(st.booleans())]
    found: Schema = {"type": "object", "properties": fields, "required": required}
    rest = draw(st.integers(0, 9))
    if rest == 0:
        found["additionalProperties"] = False
    elif rest == 1:
        found["additionalProperties"] = draw(inner)
    return found


def _maps(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    limits: st.SearchStrategy[Schema] = st.fixed_dictionaries(
        {},
        optional={
            "minProperties": st.integers(0, 1),
            "maxProperties": st.integers(0, 2),
            "propertyNames": st.sampled_from([{"pattern": "^a"}, {"maxLength": 1}]),
        },
    )
    return st.builds(lambda values, limit: {"type": "object", "additionalProperties": values, **limit}, inner, limits)


SCHEMAS: st.SearchStrategy[Schema] = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        objects(inner),
        objects(inner),
        _arrays(inner),
        _maps(inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda branches: {"anyOf": branches}),
    ),
    max_leaves=5,
)


@st.composite
def whole(draw: st.DrawFn) -> Schema:
    """A schema with its definitions, which may be recursive, but through a field alone."""
    definitions = {name: draw(objects(SCHEMAS)) for name in DEFINITIONS}
    return {**draw(SCHEMAS), "$defs": definitions}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Schema, Schema]:
    """Two small schemas of one kind, drawn apart."""
    some: list[Schema] = [{"type": "integer"}, {"type": "number"}, {"type": "string"}, {"enum": ["a", 1]}]
    inner = st.sampled_from(some)
    kind = draw(st.sampled_from([numbers(), strings(), _arrays(inner), _maps(inner), objects(inner)]))
    one, other = ({**draw(kind), "$defs": {}} for _ in range(2))
    return one, other


@st.composite
def versions(draw: st.DrawFn) -> tuple[Schema, Schema]:
    """Two versions of a schema: a few changes lie between them."""
    old = draw(whole())
    new = copy.deepcopy(old)
    for _ in range(draw(st.integers(1, 4))):
        new = _changed(draw, new)
    return (old, new) if draw(st.booleans()) else (new, old)


INSIDE = ("properties", "$defs", "items", "additionalProperties", "anyOf", "prefixItems")
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")


def _changed(draw: st.DrawFn, schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    inside = [key for key in INSIDE if schema.get(key)]
    if not inside or not draw(st.integers(0, 4)):
        return _altered(draw, schema)
    key = draw(st.sampled_from(inside))
    part = schema[key]
    if key in ("properties", "$defs"):
        name = draw(st.sampled_from(sorted(part)))
        return {**schema, key: {**part, name: _changed(draw, part[name])}}
    if isinstance(part, list):
        place = draw(st.integers(0, len(part) - 1))
        return {**schema, key: [*part[:place], _changed(draw, part[place]), *part[place + 1 :]]}
    return {**schema, key: _changed(draw, part)}


def _altered(draw: st.DrawFn, schema: Schema) -> Schema:
    if "$defs" in schema:
        return {**draw(SCHEMAS), "$defs": schema["$defs"]} if draw(st.integers(0, 9)) == 0 else schema
    if "properties" in schema:
        return _altered_object(draw, schema)
    if "anyOf" in schema:
        more = draw(st.booleans())
        return {"anyOf": [*schema["anyOf"], draw(SIMPLE)] if more else schema["anyOf"][:-1] or schema["anyOf"]}
    if "enum" in schema:
        more = draw(st.booleans()) or len(schema["enum"]) < 2
        return {"enum": [*schema["enum"], "new"] if more else schema["enum"][1:]}
    return _altered_value(draw, schema)


def _altered_value(draw: st.DrawFn, schema: Schema) -> Schema:
    """Made nullable, freed of one keyword, a bound moved, or replaced."""
    choice = draw(st.integers(0, 3))
    if choice == 0:
        return {"anyOf": [schema, {"type": "null"}]}
    if choice == 1:
        gone = [key for key in schema if key not in ("type", "$ref", "prefixItems", "items")][:1]
        return {key: value for key, value in schema.items() if key not in gone}
    for bound in BOUNDS:
        if bound in schema and "prefixItems" not in schema:
            return {**schema, bound: max(0, schema[bound] + draw(st.sampled_from([-1, 1])))}
    return schema if "$ref" in schema else draw(SIMPLE)


def _altered_object(draw: st.DrawFn, schema: Schema) -> Schema:
    fields, required = dict(schema["properties"]), list(schema["required"])
    name = draw(NAMES)
    match draw(st.sampled_from(["add", "drop", "require", "free", "close"])):
        case "add":
            fields.setdefault(name, draw(SIMPLE))
        case "drop":
            fields.pop(name, None)
            required = [one for one in required if one != name]
        case "require":
            required = sorted({*required, *([name] if name in fields else [])})
        case "free":
            required = [one for one in required if one != name]
        case "close":
            if "additionalProperties" in schema:
                return {key: value for key, value in schema.items() if key != "additionalProperties"}
            return {**schema, "additionalProperties": False}
    return {**schema, "properties": fields, "required": required}
