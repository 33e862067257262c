"""What is told on topic `health` of a module that harmed its node: `moduleHung`, `moduleCrashed`. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

TOPIC, HUNG, CRASHED = "health", "moduleHung", "moduleCrashed"
Action = Literal["named", "interrupted", "moved", "replaced"]


class ModuleHung(Struct, frozen=True):
    """A module kept the event loop of its node longer than its limit.

    `stack`: `file:line function`, the innermost first. `action`: it was only named, it was interrupted, it was moved to
    a process of its own after repeated offence, or its whole node was replaced because it could not be interrupted.
    """

    module: str
    instance: str
    held_s: float  # at least so long
    limit_s: float
    action: Action
    stack: tuple[str, ...]

    def __str__(self) -> str:
        """In a sentence."""
        did = {
            "named": "left alone",
            "interrupted": "interrupted",
            "moved": "interrupted once too often: it moves to a process of its own",
            "replaced": "not to be interrupted: its node was replaced",
        }[self.action]
        where = f" in {self.stack[0]}" if self.stack else ""
        return f"{self.instance} held the event loop for {self.held_s:.2f} s (limit {self.limit_s:g} s){where}: {did}"


class ModuleCrashed(Struct, frozen=True):
    """A module ended the process of its node: a crash in native code, `os._exit`, all memory taken.

    `stack` as above, where it is known. `moved`: it runs in a process of its own from now on; a crash is forgiven once.
    """

    module: str
    instance: str
    how: str
    moved: bool
    stack: tuple[str, ...]

    def __str__(self) -> str:
        """In a sentence."""
        then = "it runs in a process of its own now" if self.moved else "the next time it goes to a process of its own"
        return f"{self.instance}: {self.how}: its node was replaced, and {then}"
