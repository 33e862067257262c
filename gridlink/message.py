"""A message, and the one callable type that the bus, proxies and handlers share.

Outside the validation proxy a payload is its JSON in bytes, inside it the typed value. A message never changes: a step
that alters it passes a new one on (`msgspec.structs.replace`). It is a msgspec.Struct and not a dataclass because one
is made for each message, and a frozen dataclass of nine fields costs five times as much to make.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from math import inf
from types import ModuleType
from typing import Any

from gridlink import lean
from gridlink.address import Address
from gridlink.errors import TimeoutInvalid

with lean.ImportingMsgspec():
    import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One request or event on its way from `source` to `address`."""

    address: Address
    type: str
    payload: Any
    source: str = ""  # name@node of the sender; empty for a program that isn't Gridlink
    id: str = ""
    deadline_s: float | None = None  # time.monotonic() at which the sender stops waiting; None for an event
    trace: str = ""  # W3C traceparent
    wants_reply: bool = False
    redelivered: bool = False  # an event of a durable topic that may have been handled before; `id` is the same

    def with_payload(self, payload: Any) -> Message:
        """The same message with another payload: what a proxy passes on that alters it."""
        return msgspec.structs.replace(self, payload=payload)

    def time_left_s(self) -> float | None:
        """Seconds until the sender stops waiting (never negative); None where nobody waits."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - time.monotonic())


def check_timeout(timeout_s: float) -> None:
    """Raises TimeoutInvalid for what is no number of seconds to wait: less than 0, infinity, NaN."""
    if not 0 <= timeout_s < inf:
        raise TimeoutInvalid(
            f"timeout_s: expected seconds from 0 up, and an end (an hour is 3600), got {timeout_s}: nothing was sent"
        )


Call = Callable[[Message], Awaitable[Any]]
"""Takes a message on; returns the reply's payload (None for an event) or raises a GridlinkError."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Whether a text has the form that https://www.w3.org/TR/trace-context/ asks for."""
    return len(text) == 55 and _TRACEPARENT.fullmatch(text) is not None


current: ContextVar[Message] = ContextVar("gridlink.message")


def message() -> Message:
    """The message that is being handled; LookupError outside of a handler."""
    return current.get()


class _Callable(ModuleType):
    """This module, callable: `from gridlink import message` finds it once it is loaded, and not the function."""

    def __call__(self) -> Message:
        return message()


sys.modules[__name__].__class__ = _Callable
