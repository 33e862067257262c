"""Stops the modules of a managed directory in reverse of their start, all within one deadline.

For AppManager and NodeManager alike; the opposite of `bring_up`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from gridlink.errors import GridlinkError


class Stoppable(Protocol):
    """A module that was started."""

    async def stop(self, within_s: float) -> None:
        """Ends it in about so long at most."""


def share_s(left_s: float, others: int) -> float:
    """What one module may take of the time that is left while `others` wait for their turn: half of it.

    So a module that hangs leaves something to each that comes after it, and the last one gets all that is left.
    """
    return left_s / 2 if others else left_s


async def bring_down(
    started: Mapping[str, Stoppable], left_s: Callable[[], float], log: logging.LoggerAdapter[logging.Logger]
) -> None:
    """Stops what was started (name -> module, in order of start), last first; what fails is logged, the rest goes on.

    `left_s` says how long all of it may still take. Cancelling it leaves the rest running.
    """
    for others, (name, module) in reversed(list(enumerate(started.items()))):
        try:
            await module.stop(share_s(left_s(), others))
        except (GridlinkError, TimeoutError) as error:
            log.error("%s was not stopped in order: %s", name, str(error) or type(error).__name__)  # noqa: TRY400 - it says it all
