"""Bounds of numbers and strings: whether what is sent keeps those of what is read. Pure; part of the inclusion."""

from __future__ import annotations

import math
import re
from typing import Any

from gridlink.compatibility.misfit import Kind, Misfit, text

Bounds = tuple[Misfit, ...]
_EQUAL = ("pattern", "format", "contentEncoding", "contentMediaType")


_SIDES = ((1, "minimum", "exclusiveMinimum", "above"), (-1, "maximum", "exclusiveMaximum", "below"))


def bounds(sent: dict[str, Any], read: dict[str, Any]) -> Bounds:
    """Smallest and largest number. A bound is compared as (number, whether it is excluded)."""
    found = []
    for sign, inclusive, exclusive, what in _SIDES:
        needed, given = _lowest(read, sign, inclusive, exclusive), _lowest(sent, sign, inclusive, exclusive)
        if needed is not None and (given is None or given < needed):
            found.append(Misfit("", Kind.BOUND, _worded(given, sign, what), _worded(needed, sign, what)))
    return tuple(found)


def _lowest(schema: dict[str, Any], sign: int, inclusive: str, exclusive: str) -> tuple[Any, bool] | None:
    """The lower bound (of the mirrored numbers for sign -1), the stronger one of two."""
    found = [(sign * schema[keyword], keyword == exclusive) for keyword in (inclusive, exclusive) if keyword in schema]
    if schema.get("type") == "integer":  # those above 4 are those from 5
        found = [(math.floor(number) + 1 if excluded else math.ceil(number), False) for number, excluded in found]
    return max(found) if found else None


def _worded(bound: tuple[Any, bool] | None, sign: int, what: str) -> str:
    if bound is None:
        return f"any number {what}"
    return f"{what} {sign * bound[0]}" if bound[1] else f"{what} or at {sign * bound[0]}"


def multiples(sent: dict[str, Any], read: dict[str, Any]) -> Bounds:
    """`multipleOf`, as far as whole numbers tell."""
    wanted = read.get("multipleOf")
    if wanted is None or wanted == sent.get("multipleOf"):
        return ()
    step = sent["const"] if "const" in sent else sent.get("multipleOf", 1 if sent["type"] == "integer" else None)
    if isinstance(step, int) and isinstance(wanted, int) and step % wanted == 0:
        return ()
    return (Misfit("", Kind.BOUND, f"multiples of {sent.get('multipleOf', 'anything')}", f"multiples of {wanted}"),)


def lengths(sent: dict[str, Any], read: dict[str, Any]) -> Bounds:
    """Length, pattern and format of a string. Of two different patterns neither is taken to follow from the other."""
    found = []
    shortest, longest = sent.get("minLength", 0), sent.get("maxLength")
    if read.get("minLength", 0) > shortest:
        found.append(Misfit("", Kind.BOUND, f"{shortest} characters or more", f"{read['minLength']} or more"))
    if "maxLength" in read and (longest is None or longest > read["maxLength"]):
        sent_words = "any number of characters" if longest is None else f"up to {longest} characters"
        found.append(Misfit("", Kind.BOUND, sent_words, f"up to {read['maxLength']}"))
    found += [
        Misfit("", Kind.BOUND, f"{keyword} {text(sent.get(keyword))}", f"{keyword} {text(read[keyword])}")
        for keyword in _EQUAL
        if keyword in read and read[keyword] != sent.get(keyword) and not _matches(keyword, sent, read)
    ]
    return tuple(found)


def _matches(keyword: str, sent: dict[str, Any], read: dict[str, Any]) -> bool:
    if keyword != "pattern" or "const" not in sent:
        return False
    try:
        return re.search(read["pattern"], sent["const"]) is not None
    except re.error:
        return False
