"""Tracing: each message carries a W3C `traceparent`, so that what it caused can be followed from module to module.

A message sent while another is handled belongs to that one's trace; any other starts a trace of its own.
"""

from __future__ import annotations

import itertools
import secrets

from msgspec.structs import replace

from gridlink.message import Call, Message, current
from gridlink.proxies.chain import Proxy


class Tracing(Proxy):
    """Gives each outgoing message its `traceparent` (https://www.w3.org/TR/trace-context/)."""

    def __init__(self) -> None:
        self._trace = secrets.token_hex(8)
        self._spans = itertools.count(secrets.randbits(48) + 1)

    def outgoing(self, call: Call) -> Call:
        """Continues the trace of the message that is being handled, or begins one."""

        async def traced(message: Message) -> object:
            if message.trace:
                return await call(message)
            span = next(self._spans)
            handled = current.get(None)
            cause = handled.trace if handled is not None else ""
            trace = cause[3:35] if len(cause) == 55 else f"{self._trace}{span:016x}"
            return await call(replace(message, trace=f"00-{trace}-{span:016x}-01"))

        return traced
