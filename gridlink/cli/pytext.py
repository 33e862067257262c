"""Pieces of Python source as ruff would format them: names, literals, docstrings, statements. Pure."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import Any

WIDTH = 120


def class_name(text: str) -> str:
    """A class's name made of any text; what is a class's name already stays."""
    words = re.findall(r"[A-Za-z0-9_]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words).lstrip("_") or "Type"
    return f"Type{name}" if name[0].isdigit() else name


def identifier(text: str, reserved: Collection[str]) -> str:
    """A field's name made of any text; what can be one already, and hides nothing, stays."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not name or name[0].isdigit() or name.startswith("__"):
        name = f"field_{name.lstrip('_')}"
    return f"{name}_" if keyword.iskeyword(name) or name in reserved else name


def member_names(values: Iterable[Any]) -> list[str]:
    """Names for the members of an enum."""
    names: list[str] = []
    for value in values:
        words = re.sub(r"\W+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", str(value)), flags=re.ASCII).strip("_")
        name = words.upper() if words[:1].isalpha() else f"VALUE_{words.upper()}"
        if isinstance(value, int | float) and value < 0:
            name = f"VALUE_MINUS_{words}"
        number, free = 2, name
        while free in names:
            free, number = f"{name}_{number}", number + 1
        names.append(free)
    return names


def literal(value: Any) -> str:
    """A literal with double quotes."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(one)}' for key, one in value.items())}}}"
    plain = repr(value)
    return f'b"{plain[2:-1]}"' if plain.startswith("b'") and '"' not in plain else plain


def _quoted(text: str) -> str:
    if "\\" in text and '"' not in text and text.isprintable() and not text.endswith("\\"):
        return f'r"{text}"'
    plain = repr(text)
    if plain.startswith('"') or '"' in text:
        return plain
    return '"' + plain[1:-1].replace("\\'", "'") + '"'


def docstring(text: str, indent: str) -> str:
    """A docstring of the text, indented."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    first, *rest = text.split("\n")
    if not rest and len(f'{indent}"""{first}"""') <= WIDTH:
        end = "\\" + text[-1] if text.endswith('"') else text[-1:]
        return f'{indent}"""{text[:-1]}{end}"""'
    lines = [f'{indent}"""{first}', *(f"{indent}{line}".rstrip() for line in rest), f'{indent}"""']
    return "\n".join(lines)


def statement(indent: str, text: str) -> str:
    """One statement, over several lines where one would be too long."""
    line = indent + text
    if len(line) <= WIDTH:
        return line
    opened = next((at for at, char in enumerate(text) if char in "[("), -1)
    if opened < 0:
        return line
    closed = _closing(text, opened)
    inner, inner_indent = text[opened + 1 : closed], indent + "    "
    tail = f"{indent}{text[closed:]}"
    if len(inner_indent + inner) <= WIDTH:
        return f"{indent}{text[: opened + 1]}\n{inner_indent}{inner}\n{tail}"
    parts = [statement(inner_indent, f"{part},") for part in _split(inner)]
    return "\n".join([f"{indent}{text[: opened + 1]}", *parts, tail])


def _walk(text: str, start: int) -> Iterable[tuple[int, str, int]]:
    """Position, character and depth of brackets for each character that isn't inside of a string."""
    depth, quote, at = 0, "", start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        else:
            depth += (char in "[({") - (char in "])}")
            yield at, char, depth
        at += 1


def _closing(text: str, opened: int) -> int:
    return next(at for at, char, depth in _walk(text, opened) if depth == 0 and char in "])}")


def _split(text: str) -> list[str]:
    """The parts between the commas that are inside of no bracket."""
    commas = [at for at, char, depth in _walk(text, 0) if depth == 0 and char == ","]
    edges = [-1, *commas, len(text)]
    return [text[a + 1 : b].strip() for a, b in pairwise(edges)]
