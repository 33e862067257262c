"""Validation: bytes outside, typed values inside. What doesn't fit never reaches the handler.

Decoding and checking are one pass (gridlink.codec). A handler's or sender's types decide; the published JSON Schemas
are made from the same types.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gridlink.codec import codec
from gridlink.errors import PayloadInvalid, ReplyInvalid
from gridlink.message import Call, Message


def validate_incoming(payload: Any, reply: Any, call: Call) -> Call:
    """Decodes a message for the handler `call`, and encodes what the handler returns.

    Raises PayloadInvalid to the sender, and ReplyInvalid where the handler broke its own contract.
    """
    decode, encode = codec(payload).decode, codec(reply).encode

    async def validated(message: Message) -> bytes:
        result = await call(replace(message, payload=decode(message.payload)))
        try:
            return encode(result)
        except PayloadInvalid as error:
            raise ReplyInvalid(f"the reply to {message.type} broke its contract: {error}") from error

    return validated


def validate_request(reply: Any, call: Call) -> Call:
    """Encodes a request's payload for `call` and decodes its reply as a `reply` (Any: as it comes)."""
    decode, encode = codec(reply).decode, codec(Any).encode

    async def validated(message: Message) -> Any:
        body = await call(replace(message, payload=encode(message.payload)))
        try:
            return decode(body)
        except PayloadInvalid as error:
            raise ReplyInvalid(f"the reply to {message.type} is not what was asked for: {error}") from error

    return validated


def validate_event(payload: Any, call: Call) -> Call:
    """Checks and encodes an event's payload for `call`: what a receiver would refuse is refused here."""
    encode = codec(payload).encode

    async def validated(message: Message) -> None:
        await call(replace(message, payload=encode(message.payload)))

    return validated
