"""How much of its time a command has left when it goes on after its node was restarted. Never less than none, or more.

As long as the machine has run on, that is measured by the time since it was booted, which no date that is set can move.
After a reboot there is only the date, which may be wrong: one that is behind gives a command its whole time again.
"""

from __future__ import annotations

import time

from msgspec import Struct

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Moment(Struct, frozen=True):
    """By all clocks of a machine. `boot`: which boot of it, empty where that isn't known; `wall_s`: Unix time."""

    boot: str
    since_boot_s: float
    wall_s: float


def moment() -> Moment:
    """Now."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            boot = file.read().strip()
    except OSError:
        boot = ""
    return Moment(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def left_s(whole_s: float, since: Moment | None, now: Moment) -> float:
    """What is left of `whole_s`, which began at `since`; all of it where nobody wrote down when that was."""
    if since is None:
        return whole_s
    if since.boot and since.boot == now.boot:
        passed_s = now.since_boot_s - since.since_boot_s
    else:
        passed_s = now.wall_s - since.wall_s
    return min(whole_s, max(0.0, whole_s - passed_s))
