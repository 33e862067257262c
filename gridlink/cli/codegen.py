"""Writes Python types from JSON Schemas (2020-12). Pure; what it writes has, read back, the same schemas.

A class of the schema becomes a frozen dataclass, and a msgspec.Struct where a dataclass can't say it: a field whose
name isn't Python's, no unknown fields, a default that is mutable. What no annotation can say stays in
`extra_json_schema`.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any

from gridlink.cli.pytext import class_name, docstring, identifier, literal, member_names, statement
from gridlink.cli.typetext import Schema, TypeText

_REF = "#/$defs/"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A type to write: `alias` is its name where the schema is of no class, `note` says what it is for."""

    alias: str
    schema: Schema | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A module's text, and the expression in it for each Wanted, in order (`None` for no payload)."""

    text: str
    types: tuple[str, ...]


def generate(title: str, wanted: Sequence[Wanted]) -> Written:
    """The text of a module with all the types. `title` is the first line of its docstring."""
    return _Module().write(title, wanted)


@dataclass(slots=True)
class _Class:
    """A definition with its name in Python; `refs`: the names in Python of what it refers to."""

    name: str
    schema: Schema
    refs: dict[str, str]


@dataclass(slots=True)
class _Module:
    classes: dict[str, _Class] = field(default_factory=dict)  # by the canonical text of the definition
    taken: set[str] = field(default_factory=set)
    types: TypeText = field(default_factory=TypeText)

    def write(self, title: str, wanted: Sequence[Wanted]) -> Written:
        parts = [(one, *self._named(one.schema)) for one in wanted if one.schema is not None]
        self.types.lookup = self._definition
        self.types.hoist = self._hoist
        aliases: list[str] = []
        expressions = {id(one): self._expression(one, schema, refs, aliases) for one, schema, refs in parts}
        types = tuple("None" if one.schema is None else expressions[id(one)] for one in wanted)
        bodies = self._bodies()
        notes = [f"{one.note}: {text}" for one, text in zip(wanted, types, strict=True) if one.note]
        head = docstring("\n".join([title, *(["", *notes] if notes else [])]), "")
        blocks = "".join(f"\n\n{body}\n" for body in bodies)
        tail = ("\n\n" if blocks else "\n") + "\n".join(aliases) + "\n" if aliases else ""
        imports = self.types.imports.text()
        text = f"{head}\n\nfrom __future__ import annotations\n{imports}{blocks}{tail}"
        if any(len(line) > 120 for line in text.splitlines()):
            text = f"# ruff: noqa: E501\n{text}"
        return Written(text, types)

    # Names.

    def _named(self, schema: Schema) -> tuple[Schema, dict[str, str]]:
        """Takes the definitions of a schema in; the schema without them, and their names in Python."""
        definitions: Mapping[str, Schema] = schema.get("$defs", {})
        refs: dict[str, str] = {}
        new: list[_Class] = []
        for name, definition in definitions.items():
            key = json.dumps([name, _reached(name, definitions)], sort_keys=True)
            if key not in self.classes:
                python_name = self._free(class_name(name))
                self.classes[key] = _Class(python_name, definition, {})
                new.append(self.classes[key])
            refs[name] = self.classes[key].name
        for one in new:
            one.refs = refs
        return {key: value for key, value in schema.items() if key != "$defs"}, refs

    def _free(self, name: str) -> str:
        candidate, number = name, 2
        while candidate in self.taken or candidate in TypeText.RESERVED:
            candidate, number = f"{name}{number}", number + 1
        self.taken.add(candidate)
        return candidate

    def _definition(self, python_name: str) -> tuple[Schema, dict[str, str]]:
        found = next(one for one in self.classes.values() if one.name == python_name)
        return found.schema, found.refs

    def _hoist(self, hint: str, schema: Schema, refs: dict[str, str]) -> str:
        """A name for an object whose schema stands where it is used."""
        name = self._free(class_name(str(schema.get("title", hint))))
        self.classes[f"hoisted {name}"] = _Class(name, schema, refs)
        return name

    def _expression(self, one: Wanted, schema: Schema, refs: dict[str, str], aliases: list[str]) -> str:
        text = self.types.of(schema, refs, one.alias)
        if re.fullmatch(r"\w+", text):
            return text
        name = self._free(class_name(one.alias))
        self.types.imports.add("typing", "TypeAlias")
        aliases.append(statement("", f"{name}: TypeAlias = {text}"))
        return name

    # Classes.

    def _bodies(self) -> list[str]:
        """The text of each class, those that it uses first."""
        written: dict[str, str] = {}
        while missing := [one for one in self.classes.values() if one.name not in written]:
            for one in missing:
                written[one.name] = self._body(one)
        order: list[str] = []
        names = {one.name: one for one in self.classes.values()}
        for name in names:
            _after_what_it_uses(name, names, order, set())
        return [written[name] for name in order]

    def _body(self, one: _Class) -> str:
        schema = one.schema
        if "enum" in schema:
            return self._enum(one)
        if schema.get("type") == "array":
            return self._tuple(one)
        return self._fields(one)

    def _enum(self, one: _Class) -> str:
        values = one.schema["enum"]
        kind = "StrEnum" if _all(values, str) else "IntEnum" if _all(values, int) else "Enum"
        self.types.imports.add("enum", kind)
        members = [f"    {name} = {literal(value)}" for name, value in zip(member_names(values), values, strict=True)]
        return "\n".join([f"class {one.name}({kind}):", *_doc(one.schema, members)])

    def _tuple(self, one: _Class) -> str:
        self.types.imports.add("typing", "NamedTuple")
        lines = []
        for number, item in enumerate(one.schema.get("prefixItems", ())):
            default = f" = {self.types.default(item, one.refs)}" if "default" in item else ""
            text = self.types.of(item, one.refs, f"{one.name}Item{number}")
            lines.append(statement("    ", f"item_{number}: {text}{default}"))
        return "\n".join([f"class {one.name}(NamedTuple):", *_doc(one.schema, lines or ["    pass"])])

    def _fields(self, one: _Class) -> str:
        properties: Mapping[str, Schema] = one.schema.get("properties", {})
        required = one.schema.get("required", ())
        as_struct = _needs_struct(one.schema)
        lines, defaults = [], []
        for name, schema in properties.items():
            python_name = identifier(name, TypeText.RESERVED)
            text = self.types.of(schema, one.refs, one.name + class_name(name))
            default = "" if name in required else self._default(schema, one.refs, as_struct)
            if default == "UNSET":
                self.types.imports.add("msgspec", "UNSET", "UnsetType")
                text = f"{text} | UnsetType"
            if python_name != name:
                default = f"msgspec.field({_argument(default)}name={literal(name)})"
            lines.append(statement("    ", f"{python_name}: {text}" + (f" = {default}" if default else "")))
            defaults.append(name not in required)
        keywords_only = ", kw_only=True" if defaults != sorted(defaults) else ""
        body = _doc(one.schema, lines or ["    pass"])
        if as_struct:
            self.types.imports.add("msgspec", "")
            closed = ", forbid_unknown_fields=True" if one.schema.get("additionalProperties") is False else ""
            return "\n".join([f"class {one.name}(msgspec.Struct, frozen=True{keywords_only}{closed}):", *body])
        self.types.imports.add("dataclasses", "dataclass")
        return "\n".join([f"@dataclass(frozen=True, slots=True{keywords_only})", f"class {one.name}:", *body])

    def _default(self, schema: Schema, refs: dict[str, str], as_struct: bool) -> str:
        """What a field that isn't required is when it is left out."""
        if "default" in schema:
            return self.types.default(schema, refs)
        kind, bounded = schema.get("type"), "minItems" in schema or "minProperties" in schema
        if kind in ("array", "object") and not bounded and "prefixItems" not in schema and "properties" not in schema:
            factory = "dict" if kind == "object" else "frozenset" if schema.get("uniqueItems") else "list"
            if as_struct:
                return f"msgspec.field(default_factory={factory})"
            self.types.imports.add("dataclasses", "field")
            return f"field(default_factory={factory})"
        return "UNSET"


def _argument(default: str) -> str:
    """A default as an argument of `msgspec.field`, with what parts it from the next; empty where there is none."""
    if default.startswith("msgspec.field("):
        return f"{default.removeprefix('msgspec.field(').removesuffix(')')}, "
    return f"default={default}, " if default else ""


def _needs_struct(schema: Schema) -> bool:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    return (
        schema.get("additionalProperties") is False
        or any(identifier(name, TypeText.RESERVED) != name for name in properties)
        or any(isinstance(one.get("default"), dict) and "$ref" not in one for one in properties.values())
    )


def _doc(schema: Schema, lines: list[str]) -> list[str]:
    text = schema.get("description")
    if not text:
        return lines
    return [docstring(cleandoc(text), "    "), *([] if lines == ["    pass"] else ["", *lines])]


def _all(values: Sequence[Any], kind: type) -> bool:
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def _mentioned(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref.removeprefix(_REF)
        for value in schema.values():
            yield from _mentioned(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _mentioned(value)


def _reached(name: str, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """The definition of `name` and all that it needs."""
    found: dict[str, Schema] = {}
    left = [name]
    while left:
        one = left.pop()
        if one in definitions and one not in found:
            found[one] = definitions[one]
            left.extend(_mentioned(definitions[one]))
    return found


def _after_what_it_uses(name: str, classes: Mapping[str, _Class], order: list[str], below: set[str]) -> None:
    if name in order or name in below or keyword.iskeyword(name):
        return
    one = classes[name]
    for used in _mentioned(one.schema):
        if used in one.refs:
            _after_what_it_uses(one.refs[used], classes, order, below | {name})
    order.append(name)
