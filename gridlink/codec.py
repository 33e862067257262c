"""Payloads to JSON and back, checked by their type in the same pass. Foreign errors become PayloadInvalid here.

Typed payloads go through msgspec, untyped ones (`Any`) through orjson.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from math import isfinite
from typing import Any

import msgspec
import orjson

from gridlink.errors import PayloadInvalid

_encoder = msgspec.json.Encoder()
_packer = msgspec.msgpack.Encoder()
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # a float64 of MessagePack with all bits of its exponent set
_NOTHING = (b"", b"null", b"{}")


class Codec:
    """Encodes and decodes payloads of one type; `None` stands for a message without payload."""

    __slots__ = ("_decode", "_empty", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self._decode = None if type_ in (Any, None) else msgspec.json.Decoder(type_).decode
        self._empty = self._what_empty_means()

    def decode(self, body: bytes) -> Any:
        """The typed value in `body`. Raises PayloadInvalid with the JSON path.

        An empty body counts as `null` where the type takes that, else as `{}`.
        """
        if self._decode is None:
            return self._decode_untyped(body)
        try:
            return self._decode(body or self._empty)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PayloadInvalid(f"expected JSON, got {_short(body)}: {error}", expected="JSON") from error
        except RecursionError as error:  # a field that is passed over may be nested as deeply as its sender likes
            raise PayloadInvalid(f"{_short(body)} is nested too deeply", expected="JSON of a sane depth") from error

    def _what_empty_means(self) -> bytes:
        if self._decode is None:
            return b""
        try:
            self._decode(b"null")
        except msgspec.ValidationError:
            return b"{}"
        return b"null"

    def _decode_untyped(self, body: bytes) -> Any:
        if self.type is None:
            if body.strip() in _NOTHING or re.fullmatch(rb"\s*\{\s*\}\s*", body):
                return None
            raise PayloadInvalid(f"expected no payload, got {_short(body)}", expected="no payload", got=_short(body))
        try:
            return orjson.loads(body) if body else None
        except orjson.JSONDecodeError as error:
            raise PayloadInvalid(f"expected JSON, got {_short(body)}: {error}", expected="JSON") from error

    def encode(self, value: Any) -> bytes:
        """The JSON of `value`, checked: what is sent is what the receiver's codec will accept."""
        body = encode(value) or self._empty
        if self._decode is not None or (self.type is None and value is not None):
            self.decode(body)
        return body


@lru_cache(maxsize=512)
def codec(type_: Any) -> Codec:
    """The codec of a type; made once."""
    return Codec(type_)


def encode(value: Any) -> bytes:
    """The JSON of `value`; empty for None. Raises PayloadInvalid, with the path, for what JSON can't hold."""
    if value is None:
        return b""
    try:
        body = _encoder.encode(value)
        return body if b"null" not in body else _finite(value, body)
    except _UNSENDABLE as error:
        path, part, reason = _unsendable(value, error)
        got = type(part).__name__
        raise PayloadInvalid(
            f"{path}: a {got} can't be sent as JSON: {reason}", path=path, expected="what JSON can hold", got=got
        ) from error


def _finite(value: Any, body: bytes) -> bytes:
    """`body`, the JSON of `value`. Raises ValueError for a NaN or infinity, which the encoder has turned into null."""
    number = None if _surely_finite(value) else _not_finite(value)
    if number is not None:
        raise ValueError(f"JSON has no {number}, expected a finite number")
    return body


def _surely_finite(value: Any) -> bool:
    """Whether a value has no NaN or infinity. False may be wrong: other bytes can look like one.

    Going through a value in Python takes 25 times as long as packing it in a form that keeps what JSON loses.
    """
    try:
        return _NOT_FINITE.search(_packer.encode(value)) is None
    except _UNSENDABLE:
        return False


_UNSENDABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def _unsendable(value: Any, error: Exception, path: str = "$") -> tuple[str, Any, Exception]:
    """The innermost part of a value that JSON can't hold, with its path and the reason."""
    if isinstance(error, RecursionError):
        return path, value, error  # it holds itself: there is no innermost
    for name, part in _parts(value):
        try:
            _finite(part, _encoder.encode(part))
        except _UNSENDABLE as inner:
            return _unsendable(part, inner, path + name)
    return path, value, error


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    """What a value is made of, by the names that JSON paths have for it."""
    if isinstance(value, Mapping):
        return ((f".{name}", part) for name, part in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ((f"[{number}]", part) for number, part in enumerate(value))
    names: Iterable[str] = getattr(value, "__dataclass_fields__", getattr(value, "__struct_fields__", ()))
    return ((f".{name}", getattr(value, name, None)) for name in names)


def _not_finite(value: Any) -> float | None:
    """The first NaN or infinity in a value."""
    if isinstance(value, float):
        return value if not isfinite(value) else None
    if isinstance(value, Mapping):
        parts: Iterable[Any] = chain(value.keys(), value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    else:
        names: Iterable[str] = getattr(value, "__dataclass_fields__", getattr(value, "__struct_fields__", ()))
        parts = (getattr(value, name, None) for name in names)
    return next((found for part in parts if (found := _not_finite(part)) is not None), None)


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """JSON for files and people, from plain types, dataclasses and Structs."""
    return orjson.dumps(value, default=msgspec.to_builtins, option=orjson.OPT_INDENT_2 if indent else None)


def loads(body: bytes | str) -> Any:
    """Plain JSON. Raises PayloadInvalid."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PayloadInvalid(f"expected JSON: {error}", expected="JSON") from error


_SENTENCE = re.compile(r"Expected `([^`]*)`(?: of .*?)?, got `([^`]*)`")


def _invalid(text: str) -> PayloadInvalid:
    sentence, _, path = text.partition(" - at `")
    path = path.rstrip("`") or "$"
    match = _SENTENCE.match(sentence)
    expected, got = match.groups() if match else (sentence, "")
    return PayloadInvalid(f"{path}: {sentence[:1].lower()}{sentence[1:]}", path=path, expected=expected, got=got)


def _short(body: bytes) -> str:
    text = body[:60].decode("utf-8", "replace")
    return repr(text + ("…" if len(body) > 60 else ""))
