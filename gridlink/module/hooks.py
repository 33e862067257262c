"""Asks a running module, in its own context and within a time limit: is it healthy, busy, does it take other values?

Whatever the author's code does then, the answer is a sentence.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from gridlink.errors import ANYTHING, ConfigInvalid, GridlinkError, raised_at
from gridlink.module.module import Module
from gridlink.tasks import is_cancelled

if TYPE_CHECKING:
    from gridlink.module.instance import Instance

CONFIGURE_WITHIN_S = 5.0
ANSWER_WITHIN_S = 2.0  # of `healthy` and `busy`


async def configure(instance: Instance, new: Any) -> None:
    """Has the module take `new` for its configuration. Raises ConfigInvalid where it refuses: the old one stays.

    One that hasn't returned within CONFIGURE_WITHIN_S is cancelled, which is a refusal as well.
    """
    try:
        await instance.ask("configure(old, new)", partial(_take, new), CONFIGURE_WITHIN_S)
    except ANYTHING as error:  # it is the author's code
        raise ConfigInvalid(_said(error)) from error


async def _take(new: Any, module: Module[Any]) -> None:
    await module.configure(module.config, new)
    if is_cancelled():  # it took too long, and went on all the same
        raise asyncio.CancelledError
    module.config = new


async def unhealthy(instance: Instance) -> str:
    """Why the module isn't healthy; empty where it is. What it raises is a reason, and so is no answer in time.

    One of whose handlers has met the end of its process's memory isn't, whatever it says.
    """
    if instance.has_met_end_of_memory:
        return "a MemoryError was raised in it: look for what it keeps, or raise resources.memory_mib"
    try:
        answer: Any = await instance.ask("healthy()", lambda module: module.healthy(), ANSWER_WITHIN_S)
    except ANYTHING as error:  # it is the author's code
        return _said(error)
    if answer is True:
        return ""
    if answer is False:
        return "healthy() is False"
    return answer if answer and isinstance(answer, str) else f"healthy(): expected True, or a reason, got {answer!r}"


async def busy(instance: Instance) -> str:
    """Why the module would rather not be ended now; empty where it can be.

    One that raises, or doesn't answer in time, holds nothing up: a defect must not keep a module from being replaced.
    """
    log = instance.environment.log
    try:
        answer: Any = await instance.ask("busy()", lambda module: module.busy(), ANSWER_WITHIN_S)
    except ANYTHING as error:  # it is the author's code
        log.error("busy(): %s: it holds nothing up", _said(error))  # noqa: TRY400 - its place is named
        return ""
    if answer is None or isinstance(answer, str):
        return answer or ""
    log.error("busy(): expected a reason or None, got %r: it holds nothing up", answer)
    return ""


def _said(error: BaseException) -> str:
    """What went wrong. Ours, and a time limit, say it all; of what else is raised the kind and place are needed."""
    if isinstance(error, GridlinkError | TimeoutError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}{raised_at(error)}"
