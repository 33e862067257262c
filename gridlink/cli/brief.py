"""A JSON Schema in half a line, for people: `{position: int, reason?: str}`. Pure."""

from __future__ import annotations

from typing import Any

_PLAIN = {"integer": "int", "number": "float", "boolean": "bool", "null": "null", "string": "str"}
Schema = dict[str, Any]


def brief(schema: Schema, depth: int = 2) -> str:
    """The schema in short; objects inside of objects below `depth` are named only."""
    return _brief(schema, schema.get("$defs", {}), depth)


def _brief(schema: Schema, definitions: dict[str, Schema], depth: int) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        inner = definitions.get(name, {})
        return name if depth == 0 and "properties" in inner else _brief(inner, definitions, depth)
    if "enum" in schema:
        return " | ".join("null" if value is None else repr(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_brief(one, definitions, depth) for one in schema["anyOf"])
    kind = schema.get("type")
    if "properties" in schema:
        required = schema.get("required", ())
        parts = (
            f"{name}{'' if name in required else '?'}: {_brief(one, definitions, depth - 1)}"
            for name, one in schema["properties"].items()
        )
        return f"{{{', '.join(parts)}}}" if depth else str(schema.get("title", "{…}"))
    if kind == "array":
        fixed = schema.get("prefixItems")
        if fixed is not None:
            return f"[{', '.join(_brief(one, definitions, depth) for one in fixed)}]"
        return f"[{_brief(schema.get('items') or {}, definitions, depth)}]"
    if kind == "object":
        return f"{{str: {_brief(schema.get('additionalProperties') or {}, definitions, depth)}}}"
    return _PLAIN.get(str(kind), "any")
