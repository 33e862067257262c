"""Whether two JSON Schemas are the same but for annotations, what they refer to included. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridlink.compatibility.misfit import ANNOTATIONS, text

REFERENCE = "#/$defs/"


def same(one: Any, one_definitions: Mapping[str, Any], other: Any, other_definitions: Mapping[str, Any]) -> bool:
    """Whether both are one text, and all that they refer to is."""
    return text(_bare(one)) == text(_bare(other)) and all(
        text(_bare(one_definitions.get(name))) == text(_bare(other_definitions.get(name)))
        for name in _reached(one, one_definitions) | _reached(other, other_definitions)
    )


def _bare(part: Any) -> Any:
    """A schema without annotations at any depth; a field may bear the name of one."""
    if isinstance(part, list):
        return [_bare(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    found: dict[str, Any] = {}
    for key, value in part.items():
        if key in ("properties", "patternProperties") and isinstance(value, Mapping):
            found[key] = {name: _bare(schema) for name, schema in value.items()}
        elif key in ("enum", "const"):
            found[key] = value
        elif key not in ANNOTATIONS:
            found[key] = sorted(value) if key == "required" else _bare(value)
    return found


def _reached(part: Any, definitions: Mapping[str, Any]) -> set[str]:
    """The names of the definitions that a schema refers to, and that those refer to."""
    reached: set[str] = set()
    waiting = [part]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Mapping):
            target = here.get("$ref")
            if isinstance(target, str) and (name := target.removeprefix(REFERENCE)) not in reached:
                reached.add(name)
                waiting.append(definitions.get(name))
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here
    return reached
