"""What asyncio tells of a lost task or a callback that failed is logged in the name of whoever it ran for.

It tells of a task when that is collected as garbage, in whatever module's name that happens; of a callback in nobody's.
"""

from __future__ import annotations

import asyncio
import gc
from contextvars import Context
from typing import Any

_CONCERNED = ("task", "future", "handle")


def context_of(thing: Any) -> Context | None:
    """The context in which a task or a handle of a loop runs. Python 3.12 has a method; before, it is referred to."""
    return next((one for one in gc.get_referents(thing) if isinstance(one, Context)), None)


def tell(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """A handler for `loop.set_exception_handler`: logs as the default one does."""
    concerned = (told[name] for name in _CONCERNED if told.get(name) is not None)
    context = next((found for one in concerned if (found := context_of(one)) is not None), None)
    if context is None:
        loop.default_exception_handler(told)
    else:
        context.copy().run(loop.default_exception_handler, told)  # the context itself may be running
