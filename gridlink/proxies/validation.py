"""Validation: bytes outside, typed values inside. What doesn't fit never reaches the handler.

On the way out it is the sender's first act, which makes a message of the bytes; on the way in it is innermost.

Decoding and checking are one pass (gridlink.codec). A handler's or sender's types decide; the published JSON Schemas
are made from the same types.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gridlink.codec import codec
from gridlink.errors import PayloadInvalid, ReplyInvalid
from gridlink.message import Call, Message


def validate_incoming(payload: Any, reply: Any, handler: Callable[..., Awaitable[Any]]) -> Call:
    """Decodes a message for `handler`, which gets the payload (nothing where there is none), and encodes its result.

    Raises PayloadInvalid to the sender, and ReplyInvalid where the handler broke its own contract.
    """
    decode, encode = codec(payload).decode, codec(reply).encode
    takes_payload = payload is not None

    async def validated(message: Message) -> bytes:
        decoded = decode(message.payload)
        result = await (handler(decoded) if takes_payload else handler())
        try:
            return encode(result)
        except PayloadInvalid as error:
            raise ReplyInvalid(f"the reply to {message.type} broke its contract: {error}") from error

    return validated
