"""How long a module's own `busy()` may postpone what is to be done to it. Pure: time is passed in."""

from __future__ import annotations

from gridlink.errors import Busy

POSTPONED_S = 60.0


class Postponement:
    """Of one command on one instance; it begins now."""

    def __init__(self, instance: str, now_s: float) -> None:
        self._instance, self._until_s = instance, now_s + POSTPONED_S

    def goes_on(self, why: str, now_s: float) -> bool:
        """Whether to wait on, given what `busy()` says, nothing where it isn't. Raises Busy: it was for too long."""
        if why and now_s > self._until_s:
            raise Busy(f"{self._instance} has been busy for {POSTPONED_S:g} s: {why}: try again later")
        return bool(why)
