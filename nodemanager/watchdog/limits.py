"""How long a module may keep the loop, and what follows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, field

from gridlink.errors import ConfigInvalid

Mode = Literal["off", "warn", "interrupt", "move"]
MODES: tuple[Mode, ...] = ("off", "warn", "interrupt", "move")
WARN_S, INTERRUPT_S = 0.25, 0.5
SHORTEST_S = 0.05
GO_BACK_S = 0.5


class Limits(Struct, frozen=True):
    """Seconds of the loop that one step of a module may take: then it is named, then interrupted, then given up."""

    warn_s: float = WARN_S
    interrupt_s: float = INTERRUPT_S

    @property
    def give_up_s(self) -> float:
        """From then on it can't be interrupted: no code of it is on the stack, or it swallows every exception."""
        return 2 * self.interrupt_s


STARTING = Limits(warn_s=4.0, interrupt_s=8.0)
"""While a module is imported or made; the guardian replaces the node of one that takes 10 s."""


def starting(within_s: float, running: Limits) -> Limits:
    """While a module restores its state and starts, for which another version waits so long; 0: none waits.

    The others of its node wait, too, so one step of it has GO_BACK_S less, but never less than when it is `running`.
    """
    if not within_s:
        return STARTING
    interrupt_s = max(within_s - GO_BACK_S, running.interrupt_s)
    return Limits(max(interrupt_s / 2, running.warn_s), interrupt_s)


class WatchdogSetting(Struct, frozen=True):
    """`mode`: off, warn (name it), interrupt (raise in its code), move (interrupt, then to a process of its own).

    `modules` has the limits of single modules by name. More than `offences` interruptions of a module within `within_s`
    seconds, and it is moved.
    """

    mode: Mode = "move"
    warn_s: float = WARN_S
    interrupt_s: float = INTERRUPT_S
    offences: int = 2
    within_s: float = 60.0
    modules: Mapping[str, Limits] = field(default_factory=dict)

    def limits(self, module: str) -> Limits:
        """The limits of a module."""
        return self.modules.get(module) or Limits(self.warn_s, self.interrupt_s)

    @property
    def shortest_warn_s(self) -> float:
        """The limit that is met first."""
        return min(limits.warn_s for limits in self._all())

    def _all(self) -> Iterable[Limits]:
        return (Limits(self.warn_s, self.interrupt_s), *self.modules.values())

    def check(self, where: str) -> None:
        """Raises ConfigInvalid, naming `where`, for limits that can't be kept."""
        for name, limits in (("", Limits(self.warn_s, self.interrupt_s)), *self.modules.items()):
            at = f"{where}: modules.{name}." if name else f"{where}: "
            if not SHORTEST_S <= limits.warn_s < 3600:
                raise ConfigInvalid(f"{at}warn_s: expected {SHORTEST_S} to 3600 seconds, got {limits.warn_s}")
            if not limits.warn_s <= limits.interrupt_s < 3600:
                raise ConfigInvalid(
                    f"{at}interrupt_s: expected warn_s ({limits.warn_s}) to 3600 seconds, got {limits.interrupt_s}"
                )
        if self.offences < 0 or not self.within_s > 0:
            raise ConfigInvalid(
                f"{where}: expected offences of 0 or more within_s more than 0, got {self.offences} and {self.within_s}"
            )
