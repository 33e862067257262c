"""The annotation and the default that a JSON Schema stands for, as Python source. Pure."""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from gridlink.cli.pytext import literal, member_names

Schema = dict[str, Any]
Refs = dict[str, str]

_PLAIN = {"integer": "int", "number": "float", "boolean": "bool", "null": "None", "string": "str"}
_FORMATS = {
    "date-time": ("datetime.datetime", datetime.datetime, True),
    "time": ("datetime.time", datetime.time, True),
    "date": ("datetime.date", datetime.date, False),
    "duration": ("datetime.timedelta", datetime.timedelta, False),
    "uuid": ("UUID", uuid.UUID, False),
    "decimal": ("Decimal", Decimal, False),
}
_META = {
    "title": "title",
    "description": "description",
    "examples": "examples",
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "pattern": "pattern",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "minProperties": "min_length",
    "maxProperties": "max_length",
}


@dataclass(slots=True)
class Imports:
    """What a module imports; the name `""` of a module stands for the module itself."""

    names: dict[str, set[str]] = field(default_factory=dict)

    def add(self, module: str, *names: str) -> None:
        """Notes that names of a module are used."""
        self.names.setdefault(module, set()).update(names)

    def text(self) -> str:
        """The import statements, as isort orders them, each group after an empty line."""
        own = {module: names for module, names in self.names.items() if module == "msgspec"}
        standard = {module: names for module, names in self.names.items() if module != "msgspec"}
        return "".join(f"\n{_group(group)}" for group in (standard, own) if group)


def _group(modules: dict[str, set[str]]) -> str:
    whole = [f"import {module}\n" for module, names in sorted(modules.items()) if "" in names]
    parts = {module: sorted(names - {""}, key=_isort) for module, names in sorted(modules.items())}
    return "".join(whole) + "".join(f"from {m} import {', '.join(names)}\n" for m, names in parts.items() if names)


def _isort(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@dataclass(slots=True)
class TypeText:
    """Writes annotations. `lookup` finds a class by its name in Python, `hoist` makes one of an object in place."""

    RESERVED: ClassVar[frozenset[str]] = frozenset(
        [
            "Any",
            "Annotated",
            "Literal",
            "NamedTuple",
            "TypeAlias",
            "Meta",
            "UNSET",
            "UnsetType",
            "UUID",
            "Decimal",
            "Enum",
            "IntEnum",
            "StrEnum",
            "dataclass",
            "field",
            "datetime",
            "msgspec",
            "int",
            "float",
            "bool",
            "str",
            "bytes",
            "list",
            "dict",
            "set",
            "tuple",
            "frozenset",
            "self",
        ]
    )

    imports: Imports = field(default_factory=Imports)
    lookup: Callable[[str], tuple[Schema, Refs]] = field(default=lambda name: ({}, {}))
    hoist: Callable[[str, Schema, Refs], str] = field(default=lambda hint, schema, refs: hint)

    def of(self, schema: Schema, refs: Refs, hint: str) -> str:
        """The annotation for a schema; `hint` names a class that has to be made for it."""
        left = {key: value for key, value in schema.items() if key != "default"}
        text, meta = self._bare(left, refs, hint)
        if text.startswith("list[") and isinstance(schema.get("default"), list):
            text = f"tuple[{text[5:-1]}, ...]"  # a list can't be a default
        meta += [f"{_META[key]}={literal(left.pop(key))}" for key in _META if key in left]
        if left:
            meta.append(f"extra_json_schema={literal(left)}")
        if not meta:
            return text
        self.imports.add("typing", "Annotated")
        self.imports.add("msgspec", "Meta")
        return f"Annotated[{text}, Meta({', '.join(meta)})]"

    def _bare(self, left: Schema, refs: Refs, hint: str) -> tuple[str, list[str]]:
        """The type without its constraints, and more of them; takes what it has used out of `left`."""
        if "$ref" in left:
            return refs[left.pop("$ref").removeprefix("#/$defs/")], []
        if "anyOf" in left and "discriminator" not in left:
            return self._union(left.pop("anyOf"), refs, hint), []
        if "enum" in left and all(value is None or type(value) in (str, int) for value in left["enum"]):
            self.imports.add("typing", "Literal")
            values = sorted(left.pop("enum"), key=lambda value: value is None)
            return f"Literal[{', '.join(map(literal, values))}]", []
        kind = left.pop("type", None)
        if isinstance(kind, list):
            return self._union([{**left, "type": one} for one in kind], refs, self._emptied(left, hint)), []
        if kind == "array":
            return self._array(left, refs, hint), []
        if kind == "object":
            return self._object(left, refs, hint), []
        if kind == "string":
            return self._string(left)
        if kind in _PLAIN:
            return _PLAIN[kind], []
        self.imports.add("typing", "Any")
        return "Any", []

    def _emptied(self, left: Schema, hint: str) -> str:
        left.clear()
        return hint

    def _union(self, schemas: list[Schema], refs: Refs, hint: str) -> str:
        texts = dict.fromkeys(self.of(one, refs, hint) for one in schemas)
        return " | ".join(sorted(texts, key=lambda text: text == "None"))

    def _array(self, left: Schema, refs: Refs, hint: str) -> str:
        items, fixed = left.pop("items", None), left.pop("prefixItems", None)
        if fixed is not None:
            left.pop("minItems", None)
            left.pop("maxItems", None)
            return f"tuple[{', '.join(self.of(item, refs, f'{hint}Item') for item in fixed) or '()'}]"
        item = self.of(items, refs, f"{hint}Item") if items else self._any()
        if left.pop("uniqueItems", False):
            return f"frozenset[{item}]"
        return f"list[{item}]"

    def _object(self, left: Schema, refs: Refs, hint: str) -> str:
        if "properties" in left:
            whole = {"type": "object", **left}
            left.clear()
            return self.hoist(hint, whole, refs)
        names, values = left.pop("propertyNames", None), left.pop("additionalProperties", None)
        key = self.of({"type": "string", **names}, refs, hint) if names else "str"
        value = self.of(values, refs, f"{hint}Value") if isinstance(values, dict) and values else self._any()
        return f"dict[{key}, {value}]"

    def _string(self, left: Schema) -> tuple[str, list[str]]:
        if left.get("contentEncoding") == "base64":
            del left["contentEncoding"]
            for key in ("minLength", "maxLength"):
                if key in left:
                    left[key] = left[key] // 4 * 3
            return "bytes", []
        if left.get("format") not in _FORMATS:
            return "str", []
        text, _, zoned = _FORMATS[left.pop("format")]
        module = {"UUID": "uuid", "Decimal": "decimal"}.get(text)
        self.imports.add(module or "datetime", text if module else "")
        return text, ["tz=True"] if zoned else []

    def _any(self) -> str:
        self.imports.add("typing", "Any")
        return "Any"

    def default(self, schema: Schema, refs: Refs) -> str:
        """The expression for a schema's `default`."""
        return self._value(schema["default"], schema, refs)

    def _value(self, value: Any, schema: Schema, refs: Refs) -> str:
        if value is None:
            return "None"
        for option in schema.get("anyOf", ()):
            if option.get("type") != "null":
                return self._value(value, option, refs)
        if "$ref" in schema:
            return self._of_class(value, refs[schema["$ref"].removeprefix("#/$defs/")])
        if isinstance(value, list):
            items = [self._value(one, _item(schema, at), refs) for at, one in enumerate(value)]
            if schema.get("uniqueItems"):
                return f"frozenset({{{', '.join(items)}}})" if items else "frozenset()"
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        if schema.get("contentEncoding") == "base64":
            return literal(base64.b64decode(value))
        if schema.get("format") in _FORMATS:
            written = repr(msgspec.convert(value, _FORMATS[schema["format"]][1]))
            return written.replace("'", '"')
        return literal(value)

    def _of_class(self, value: Any, name: str) -> str:
        schema, refs = self.lookup(name)
        if "enum" in schema:
            return f"{name}.{member_names(schema['enum'])[schema['enum'].index(value)]}"
        properties = schema.get("properties", {})
        arguments = (f"{key}={self._value(one, properties.get(key, {}), refs)}" for key, one in value.items())
        return f"{name}({', '.join(arguments)})"


def _item(schema: Schema, at: int) -> Schema:
    fixed = schema.get("prefixItems", [])
    found = fixed[at] if at < len(fixed) else schema.get("items", {})
    return found if isinstance(found, dict) else {}
