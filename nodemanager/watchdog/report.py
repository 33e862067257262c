"""What is told of a module that held the loop: the event `moduleHung` on topic `health`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["named", "interrupted", "moved", "replaced"]


@dataclass(frozen=True, slots=True)
class ModuleHung:
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
