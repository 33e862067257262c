"""Tracing: each message carries a W3C `traceparent`, so that what it caused can be followed from module to module.

A message sent while another is handled belongs to that one's trace, one sent by a timer to the trace of that run; any
other starts a trace of its own. A foreign message without a trace is given one when it arrives.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from gridlink.message import Call, Message, current, is_traceparent
from gridlink.proxies.chain import Proxy

_run: ContextVar[str] = ContextVar("gridlink.trace", default="")  # the trace of a timer's run


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
            return call(message if message.trace else replace(message, trace=self.stamp()))

        return traced

    def stamp(self) -> str:
        """The trace of a message that is sent now."""
        handled = current.get(None)
        return self._next(handled.trace if handled is not None else _run.get())

    def incoming(self, call: Call) -> Call:
        """Begins a trace for a message of a program that sends none (the bus passes on none that isn't valid)."""

        def traced(message: Message) -> Awaitable[Any]:
            if not message.trace:
                message = replace(message, trace=self._next(""))
                current.set(message)
            return call(message)

        return traced

    def _next(self, cause: str) -> str:
        """A span of its own in the trace of `cause`; in a new trace where that is none."""
        span = next(self._spans)
        if not is_traceparent(cause):
            own = f"{span:016x}"
            return f"00-{self._trace}{own}-{own}-01"
        return f"00-{cause[3:35]}-{span:016x}-{cause[53:]}"
