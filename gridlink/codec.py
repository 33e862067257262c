"""Payloads to JSON and back, checked by their type in the same pass. Foreign errors become PayloadInvalid here.

Typed payloads go through msgspec, untyped ones (`Any`) through orjson.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from gridlink.errors import PayloadInvalid

_encoder = msgspec.json.Encoder()
_NOTHING = (b"", b"null", b"{}")


class Codec:
    """Encodes and decodes payloads of one type; `None` stands for a message without payload."""

    __slots__ = ("_decode", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self._decode = None if type_ in (Any, None) else msgspec.json.Decoder(type_).decode

    def decode(self, body: bytes) -> Any:
        """The typed value in `body`. An empty body counts as `{}`. Raises PayloadInvalid with the JSON path."""
        if self._decode is None:
            return self._decode_untyped(body)
        try:
            return self._decode(body or b"{}")
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PayloadInvalid(f"expected JSON, got {_short(body)}: {error}", expected="JSON") from error

    def _decode_untyped(self, body: bytes) -> Any:
        if self.type is None:
            if body.strip() in _NOTHING:
                return None
            raise PayloadInvalid(f"expected no payload, got {_short(body)}", expected="no payload", got=_short(body))
        try:
            return orjson.loads(body) if body else None
        except orjson.JSONDecodeError as error:
            raise PayloadInvalid(f"expected JSON, got {_short(body)}: {error}", expected="JSON") from error

    def encode(self, value: Any) -> bytes:
        """The JSON of `value`, checked: what is sent is what the receiver's codec will accept."""
        body = encode(value)
        if self._decode is not None or (self.type is None and value is not None):
            self.decode(body)
        return body


@lru_cache(maxsize=512)
def codec(type_: Any) -> Codec:
    """The codec of a type; made once."""
    return Codec(type_)


def encode(value: Any) -> bytes:
    """The JSON of `value`; empty for None. Raises PayloadInvalid for what JSON can't hold."""
    if value is None:
        return b""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise PayloadInvalid(
            f"a {type(value).__name__} can't be sent as JSON: {error}", got=type(value).__name__
        ) from error


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """JSON for files and people, from plain types and dataclasses."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)


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
