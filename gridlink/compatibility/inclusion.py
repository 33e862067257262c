"""Whether every value that one side sends by its JSON Schema is a value that the other side's schema reads. Pure.

Sound, not complete: `misfits` may name a misfit where a proof is beyond it, but when it names none there is none.
A sender sends no field that its schema doesn't name, unless the schema says `additionalProperties`: payloads are made
from types. So a reader may name a further optional field that no sender has yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from gridlink.compatibility.interval import bounds, lengths, multiples
from gridlink.compatibility.misfit import Kind, Misfit, constraints, text, words
from gridlink.compatibility.sameness import REFERENCE, same

_TYPES = ("null", "boolean", "number", "string", "array", "object")
_COMMON = frozenset({"type", "enum", "const", "anyOf", "allOf", "$ref"})
_OF_TYPE: dict[str, frozenset[str]] = {
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"}),
    "array": frozenset({"minItems", "maxItems", "prefixItems", "items", "uniqueItems"}),
    "object": frozenset(
        {"required", "properties", "additionalProperties", "minProperties", "maxProperties", "propertyNames"}
    ),
}
_KNOWN = frozenset(chain(_COMMON, *_OF_TYPE.values()))

MOST = 100  # misfits of one value that are told: each of a type's fields may hold all those of the next type
Misfits = tuple[Misfit, ...]


def misfits(sent: Any, read: Any) -> Misfits:
    """Why a value that fits `sent` may not fit `read`; empty: each of them does. Both whole, with their `$defs`."""
    return _Comparison(sent, read).fits(sent, read)


class _Comparison:
    """One comparison; `_holds` is what is proved, or assumed while it is being proved (types may be recursive)."""

    def __init__(self, sent: Any, read: Any) -> None:
        self._sent_defs: Mapping[str, Any] = _definitions(sent)
        self._read_defs: Mapping[str, Any] = _definitions(read)
        self._holds: dict[tuple[str, str], int] = {}  # to the depth at which it is assumed; -1 once proved
        self._failed: dict[tuple[str, str], Misfits] = {}
        self._depth = 0  # how many values lie around this one

    def fits(self, sent: Any, read: Any) -> Misfits:
        """See misfits; paths begin at this value."""
        if sent is False or read is True or (isinstance(read, Mapping) and not constraints(read)):
            return ()
        if read is False:
            return (Misfit("", Kind.TYPE, words(sent), "nothing"),)
        sent = {} if sent is True else constraints(sent)
        read = constraints(read)
        key = (text(sent), text(read))
        if key in self._failed:
            return self._failed[key]
        if key in self._holds:
            # an assumption counts inside of the value it was made for, not for that value itself
            return () if self._holds[key] < self._depth else _unjudged("a type that is defined by itself alone")
        return self._prove(key, sent, read)

    def _prove(self, key: tuple[str, str], sent: dict[str, Any], read: dict[str, Any]) -> Misfits:
        mark = len(self._holds)
        self._holds[key] = self._depth
        found = () if same(sent, self._sent_defs, read, self._read_defs) else self._sent_parts(sent, read)[:MOST]
        if found:
            while len(self._holds) > mark:  # what was proved meanwhile may rest on this assumption
                self._holds.popitem()
            self._failed[key] = found
        else:
            self._holds[key] = -1
        return found

    def _inside(self, where: str, sent: Any, read: Any) -> Misfits:
        """The misfits of a value inside this one."""
        self._depth += 1
        try:
            return tuple(misfit.under(where) for misfit in self.fits(sent, read))
        finally:
            self._depth -= 1

    # What is sent is taken apart until it is of one type.

    def _sent_parts(self, sent: dict[str, Any], read: dict[str, Any]) -> Misfits:
        if "enum" in sent or "const" in sent:
            values = sent["enum"] if "enum" in sent else [sent["const"]]
            return _each(self._read_parts(_literal(value), read) for value in values)
        for keyword in ("$ref", "anyOf", "oneOf", "allOf"):
            if keyword in sent:
                if len(sent) > 1:
                    return _unjudged(f"{keyword!r} beside {', '.join(sorted(set(sent) - {keyword}))}")
                return self._sent_combined(keyword, sent[keyword], read)
        types = sent.get("type", _TYPES)
        if not isinstance(types, str):
            found = _each(self._read_parts({**sent, "type": type_}, read) for type_ in types)
            simple = "type" not in sent and len(found) > 1
            return (Misfit("", Kind.TYPE, "any value", words(read)),) if simple else found
        return self._read_parts(sent, read)

    def _sent_combined(self, keyword: str, value: Any, read: dict[str, Any]) -> Misfits:
        if keyword == "$ref":
            target = _target(value, self._sent_defs)
            return self.fits(target, read) if target is not None else _unjudged(f"a reference to {value}")
        if keyword == "allOf":
            return self.fits(value[0], read) if len(value) == 1 else _unjudged("'allOf'")
        return _each(self.fits(branch, read) for branch in value)

    # What is read is taken apart: each of its keywords must take what is sent.

    def _read_parts(self, sent: dict[str, Any], read: dict[str, Any]) -> Misfits:
        strange = sorted(read.keys() - _KNOWN)
        if strange:
            return _unjudged(f"the keyword {strange[0]!r}")
        found: list[Misfit] = []
        if "$ref" in read:
            target = _target(read["$ref"], self._read_defs)
            found += self.fits(sent, target) if target is not None else _unjudged(f"a reference to {read['$ref']}")
        for branch in read.get("allOf", ()):
            found += self.fits(sent, branch)
        if "anyOf" in read:
            found += self._one_of(sent, read["anyOf"])
        if "enum" in read or "const" in read:
            found += _enumerated(sent, read["enum"] if "enum" in read else [read["const"]])
        if "type" in read and not _taken(sent["type"], read["type"]):
            return (*found, Misfit("", Kind.TYPE, words(sent), words(read)))
        return (*found, *self._of_type(sent, read))

    def _one_of(self, sent: dict[str, Any], branches: list[Any]) -> Misfits:
        """One branch must take all that is sent; else the reasons of the branch that is nearest."""
        tried = [self.fits(sent, branch) for branch in branches]
        if any(not found for found in tried):
            return ()
        near = [found for found in tried if not any(m.path == "" and m.kind in (Kind.TYPE, Kind.VALUE) for m in found)]
        return near[0] if near else (Misfit("", Kind.TYPE, words(sent), words({"anyOf": branches})),)

    def _of_type(self, sent: dict[str, Any], read: dict[str, Any]) -> Misfits:
        match sent["type"]:
            case "number" | "integer":
                return (*bounds(sent, read), *multiples(sent, read))
            case "string":
                return lengths(sent, read)
            case "array":
                return self._array(sent, read)
            case "object":
                return self._object(sent, read)
        return ()

    def _array(self, sent: dict[str, Any], read: dict[str, Any]) -> Misfits:
        found: list[Misfit] = []
        prefix, tail = sent.get("prefixItems", []), sent.get("items", True)
        longest = sent.get("maxItems")
        if tail is False:
            longest = len(prefix) if longest is None else min(longest, len(prefix))
        if read.get("minItems", 0) > sent.get("minItems", 0):
            found.append(_bound("fewest items", sent.get("minItems", 0), read["minItems"]))
        if "maxItems" in read and (longest is None or longest > read["maxItems"]):
            found.append(_bound("most items", longest, read["maxItems"]))
        if read.get("uniqueItems") and not sent.get("uniqueItems") and (longest is None or longest > 1):
            found.append(_bound("items that are all different", "no", "yes"))
        read_prefix, read_tail = read.get("prefixItems", []), read.get("items", True)
        places = max(len(prefix), len(read_prefix))
        for place in range(places if longest is None else min(places, longest)):
            here = prefix[place] if place < len(prefix) else tail
            found += self._inside(f"[{place}]", here, read_prefix[place] if place < len(read_prefix) else read_tail)
        if longest is None or longest > places:
            found += self._inside("[]", tail, read_tail)
        return tuple(found)

    def _object(self, sent: dict[str, Any], read: dict[str, Any]) -> Misfits:
        named, wanted = sent.get("properties", {}), read.get("properties", {})
        others = _others(sent)
        rest = read.get("additionalProperties", True)
        found = [
            Misfit(f".{name}", Kind.MISSING, field=name, declared=name in named)
            for name in read.get("required", [])
            if name not in sent.get("required", [])
        ]
        for name, schema in named.items():
            if name not in wanted and rest is False and schema is not False:
                found.append(Misfit(f".{name}", Kind.UNKNOWN, field=name))
            else:
                found += self._inside(f".{name}", schema, wanted.get(name, rest))
        for name, schema in wanted.items():
            if name not in named:
                for other in others:
                    found += self._inside(f".{name}", other, schema)
        for other in others:
            found += self._inside(".*", other, rest)
        return (*found, *self._names(sent, read, bool(others)), *_counts(sent, read, bool(others)))

    def _names(self, sent: dict[str, Any], read: dict[str, Any], others: bool) -> Misfits:
        if "propertyNames" not in read:
            return ()
        found = [self.fits({"const": name}, read["propertyNames"]) for name in sent.get("properties", {})]
        if others:
            names = sent.get("propertyNames", True)
            typed = {"type": "string", **constraints(names)} if isinstance(names, Mapping) else {"type": "string"}
            found.append(self.fits(typed, read["propertyNames"]))
        return tuple(misfit.under(".*") for each in found for misfit in each)


def _others(sent: dict[str, Any]) -> list[Any]:
    """The schemas of the fields that a sender's schema allows beyond those it names."""
    open_by_default = "properties" not in sent or "patternProperties" in sent
    rest = sent.get("additionalProperties", open_by_default)
    return [] if rest is False else [rest, *sent.get("patternProperties", {}).values()]


def _counts(sent: dict[str, Any], read: dict[str, Any], others: bool) -> Misfits:
    fewest = max(sent.get("minProperties", 0), len(sent.get("required", [])))
    most = sent.get("maxProperties", None if others else len(sent.get("properties", {})))
    found = []
    if read.get("minProperties", 0) > fewest:
        found.append(_bound("fewest fields", fewest, read["minProperties"]))
    if "maxProperties" in read and (most is None or most > read["maxProperties"]):
        found.append(_bound("most fields", most, read["maxProperties"]))
    return tuple(found)


def _enumerated(sent: dict[str, Any], values: list[Any]) -> Misfits:
    """A reader's enumeration takes the values it names, and all values of a type that has so few."""
    spelled = {text(value) for value in values}
    if "const" in sent:
        possible = {text(sent["const"])}
    else:
        possible = {"boolean": {"true", "false"}, "null": {"null"}}.get(sent["type"], set())
        if not possible:
            return (Misfit("", Kind.VALUE, words(sent), words({"enum": values})),)
    return tuple(Misfit("", Kind.VALUE, one, words({"enum": values})) for one in sorted(possible - spelled))


def _literal(value: Any) -> dict[str, Any]:
    """A schema of one type that takes this value alone, with the bounds that it keeps."""
    const: dict[str, Any] = {"const": value}
    if value is None or isinstance(value, bool):
        return {**const, "type": "null" if value is None else "boolean"}
    if isinstance(value, int | float):
        return {**const, "type": "integer" if isinstance(value, int) else "number", "minimum": value, "maximum": value}
    if isinstance(value, str):
        return {**const, "type": "string", "minLength": len(value), "maxLength": len(value)}
    if isinstance(value, list):
        size = {"minItems": len(value), "maxItems": len(value)}
        return {**const, "type": "array", "prefixItems": [{"const": item} for item in value], "items": False, **size}
    fields = {name: {"const": item} for name, item in value.items()}
    return {**const, "type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _taken(type_: str, types: Any) -> bool:
    allowed = [types] if isinstance(types, str) else types
    return type_ in allowed or (type_ == "integer" and "number" in allowed)


def _bound(what: str, sent: Any, read: Any) -> Misfit:
    return Misfit("", Kind.BOUND, f"{what}: {'any' if sent is None else sent}", f"{what}: {read}")


def _unjudged(what: str) -> Misfits:
    return (Misfit("", Kind.UNJUDGED, what),)


def _each(found: Any) -> Misfits:
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def _definitions(schema: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("$defs", {}) if isinstance(schema, Mapping) else {}
    return found


def _target(reference: Any, definitions: Mapping[str, Any]) -> Any:
    name = str(reference).removeprefix(REFERENCE)
    return definitions.get(name) if str(reference).startswith(REFERENCE) else None
