"""What a command does to the disk, step by step, and how that is undone. Each may be done again after a power cut."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from appmanager.provisioning.machine import Step


class Change(Protocol):
    """One command's work on the disk. Blocks: call it in a thread. Raises OSError, GridlinkError."""

    @property
    def staged(self) -> Path:
        """What preflight looks at, once it is staged."""

    def stage(self) -> str:
        """Puts what is new beside what runs; returns its version."""

    def prepare(self) -> None:
        """Does what needs no state, while what runs still runs: whoever asks it waits for what is left to be done."""

    def keep(self, state: bytes | None) -> None:
        """Keeps the state of what runs; None: it is in its place already, or there is none."""

    def switch(self) -> None:
        """Puts what is new in the place of what runs."""

    def state(self) -> bytes | None:
        """The state with which the new version starts; written down, so that it does after a power cut too."""

    def tidy(self) -> None:
        """Removes what is not needed any more."""

    def undo(self, begun: Collection[Step]) -> None:
        """Puts everything back, whatever of the steps that were begun was done. Needs no space on the disk."""
