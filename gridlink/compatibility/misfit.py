"""A misfit: why a value that one side may send doesn't fit what the other reads. Data, without who is at fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class Kind(Enum):
    """What doesn't fit."""

    MISSING = "missing"  # read needs the field, sent may lack it
    UNKNOWN = "unknown"  # read refuses fields that it doesn't name
    TYPE = "type"
    VALUE = "value"  # of an enumeration
    BOUND = "bound"  # of a length, a number, a pattern
    UNJUDGED = "unjudged"  # a construct that the comparison doesn't follow: taken as a misfit


@dataclass(frozen=True, slots=True)
class Misfit:
    """One reason. `path` is a JSON path; `sent` and `read` say in words what each side has."""

    path: str
    kind: Kind
    sent: str = ""
    read: str = ""
    field: str = ""  # MISSING, UNKNOWN: the name
    declared: bool = False  # MISSING: the sender's schema names the field, but doesn't require it

    def under(self, prefix: str) -> Misfit:
        """The same, seen from a value that holds this one."""
        return replace(self, path=prefix + self.path)


ANNOTATIONS = frozenset(
    [
        "$schema",
        "$id",
        "$defs",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "discriminator",
    ]
)
"""Keywords that refuse no value."""


def constraints(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a schema that may refuse a value."""
    return {key: value for key, value in schema.items() if key not in ANNOTATIONS}


def text(value: Any) -> str:
    """One spelling of a JSON value: equal texts are equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def words(schema: Any) -> str:
    """A schema in a few words: `integer`, `string or null`, `one of "a", "b"`."""
    if schema is False:
        return "nothing"
    if not isinstance(schema, Mapping) or not constraints(schema):
        return "any value"
    if "const" in schema:
        return text(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(text(value) for value in schema["enum"][:9])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return " or ".join(dict.fromkeys(words(branch) for branch in branches))
    type_ = schema.get("type", "any value")
    return " or ".join(type_) if isinstance(type_, list) else str(type_)
