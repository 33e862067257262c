"""Keeps one child running by the restart policy, whatever the child is: an attempt that ends has failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from gridlink.errors import GridlinkError, ModuleInvalid
from gridlink.lifecycle import State
from gridlink.restart import RestartHistory

Report = Callable[[State, str], Awaitable[None]]


async def keep_running(attempt: Callable[[], Awaitable[None]], history: RestartHistory, report: Report) -> None:
    """Runs `attempt` again and again; returns when it is given up. Cancelling it cancels the attempt.

    An attempt raises GridlinkError when the child ended or didn't start: it is reported as BACKOFF and tried again
    after the policy's wait, or as FAILED where the policy gives up, and at once on ModuleInvalid: trying again can't
    help there. An attempt that returns was ended on purpose.
    """
    while True:
        try:
            return await attempt()
        except ModuleInvalid as error:
            return await report(State.FAILED, str(error))
        except GridlinkError as error:
            wait_s = history.failed(time.monotonic())
            if wait_s is None:
                how_often = f"failed more than {history.intensity} times in {history.period_s:g} s"
                return await report(State.FAILED, f"{error} ({how_often}, given up)")
            await report(State.BACKOFF, f"{error} (again in {wait_s:g} s)")
            await asyncio.sleep(wait_s)
