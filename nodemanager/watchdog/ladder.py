"""What is done about a step that holds the loop: one rung after the other. Pure."""

from __future__ import annotations

from enum import Enum

from nodemanager.watchdog.limits import Limits, Mode


class Rung(Enum):
    """What is to be done now."""

    WAIT = 0
    NAME = 1  # say who it is
    INTERRUPT = 2  # raise in its code, if that is on the stack; again with each signal
    GIVE_UP = 3  # have its process replaced


class Ladder:
    """The rungs of one step that holds the loop."""

    __slots__ = ("_gave_up", "_named")

    def __init__(self) -> None:
        self._named = self._gave_up = False

    @property
    def climbed(self) -> bool:
        """Whether the step was too long."""
        return self._named

    def climb(self, held_s: float, limits: Limits, mode: Mode) -> Rung:
        """The rung for a step that has held the loop for `held_s`."""
        if not self._named:
            if held_s < limits.warn_s:
                return Rung.WAIT
            self._named = True
            return Rung.NAME
        if mode == "warn" or held_s < limits.interrupt_s:
            return Rung.WAIT
        if mode == "move" and held_s >= limits.give_up_s and not self._gave_up:
            self._gave_up = True
            return Rung.GIVE_UP
        return Rung.INTERRUPT


def next_sample_s(held_s: float, limits: Limits, mode: Mode) -> float:
    """Seconds until a step that has held the loop for `held_s` is to be looked at again."""
    at = (
        (limits.warn_s, limits.interrupt_s, limits.give_up_s) if mode == "move" else (limits.warn_s, limits.interrupt_s)
    )
    next_limit_s = min((limit - held_s for limit in at if limit > held_s), default=limits.warn_s)
    return min(max(next_limit_s, 0.01), max(limits.warn_s / 5, 0.02))
