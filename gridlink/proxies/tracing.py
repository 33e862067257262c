"""Tracing: each message carries a W3C `traceparent`, so that what it caused can be followed from module to module.

A message sent while another is handled belongs to that one's trace, one sent by a timer to the trace of that run; any
other starts a trace of its own. A foreign message without a trace is given one when it arrives.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from gridlink.message import Call, Message, current
from gridlink.proxies.chain import Proxy

_VALID = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_run: ContextVar[str] = ContextVar("gridlink.trace", default="")  # the trace of a timer's run


def is_traceparent(text: str) -> bool:
    """Whether a text has the form that https://www.w3.org/TR/trace-context/ asks for."""
    return len(text) == 55 and _VALID.fullmatch(text) is not None


def begin_trace() -> str:
    """Starts a trace: what is sent from here on in this context belongs to it, unless a message is being handled."""
    trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    _run.set(trace)
    return trace


class Tracing(Proxy):
    """Gives each message its `traceparent` (https://www.w3.org/TR/trace-context/)."""

    def __init__(self) -> None:
        self._trace = secrets.token_hex(8)
        self._spans = itertools.count(secrets.randbits(48) + 1)

    def outgoing(self, call: Call) -> Call:
        """Continues the trace of the message that is being handled, or begins one."""

        def traced(message: Message) -> Awaitable[Any]:
            if message.trace:
                return call(message)
            handled = current.get(None)
            return call(replace(message, trace=self._next(handled.trace if handled is not None else _run.get())))

        return traced

    def incoming(self, call: Call) -> Call:
        """Begins a trace for a message of a program that sends none, or none that is valid."""

        def traced(message: Message) -> Awaitable[Any]:
            if not is_traceparent(message.trace):
                message = replace(message, trace=self._next(""))
                current.set(message)
            return call(message)

        return traced

    def _next(self, cause: str) -> str:
        """A span of its own in the trace of `cause`; in a new trace where that is none."""
        span = next(self._spans)
        if not is_traceparent(cause):
            return f"00-{self._trace}{span:016x}-{span:016x}-01"
        return f"00-{cause[3:35]}-{span:016x}-{cause[53:]}"
