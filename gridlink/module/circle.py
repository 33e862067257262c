"""Tells a module that has much to do from one that waits for itself: A asks B, which asks A for the answer.

Such a circle ends when one of them has as many requests in flight as it takes. Loaded then, and never else.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable

from gridlink.message import Message

TRACE = slice(3, 35)  # of a traceparent: what all that one cause has led to has in common


def advice(serving: Iterable[asyncio.Task[None]], message: Message) -> str:
    """What to do about a module that is Busy, `serving` these, when `message` comes."""
    trace = message.trace[TRACE]
    handled = [one for one in map(_message_of, serving) if one is not None]
    causes = [one for one in handled if trace and one.trace[TRACE] == trace]
    if len(causes) * 2 <= len(handled):
        return "try again later"
    chain = sorted({f"{one.source or '?'} {one.type}" for one in (*causes, message)})
    return (
        f"{len(causes)} of them, and this one, have one first cause: the modules ask each other in a circle "
        f"({', '.join(chain)}); break it, or ask less at once"
    )


def _message_of(task: asyncio.Task[None]) -> Message | None:
    """The message that a task of an inbox serves; it is the argument of the task's coroutine."""
    coroutine = task.get_coro()
    frame = coroutine.cr_frame if inspect.iscoroutine(coroutine) else None
    found = frame.f_locals.get("message") if frame is not None else None
    return found if isinstance(found, Message) else None
