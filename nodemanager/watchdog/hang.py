"""One step that held the loop for longer than its limit, as it is being noticed."""

from __future__ import annotations

from msgspec import Struct

from gridlink.health import Action, ModuleHung


class Hang(Struct):
    """Whose step, where, for how long, and how often it was interrupted."""

    name: str  # a module's, or an instance `name@node`
    limit_s: float  # from which it is named
    interrupt_s: float  # and from which it is interrupted: while it starts, others than when it runs
    stack: tuple[str, ...]
    held_s: float
    interrupted: int = 0

    @property
    def module(self) -> str:
        """The module's name."""
        return self.name.partition("@")[0]

    @property
    def is_stuck(self) -> bool:
        """Whether it was to be interrupted, and not only to be named."""
        return self.interrupted > 0 or self.held_s >= self.interrupt_s

    def brief(self) -> str:
        """For the guardian: the module, the seconds so far and its limit, and its stack on one line."""
        return f"{self.module} {self.held_s:.3f} {self.limit_s:g} {' < '.join(self.stack)}"

    def report(self, node: str, action: Action) -> ModuleHung:
        """For everybody else."""
        return ModuleHung(self.module, f"{self.module}@{node}", self.held_s, self.limit_s, action, self.stack)
