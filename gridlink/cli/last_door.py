"""Which uninstall of a plan closes the last door to the outside, so that it is said before it is done. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gridlink.cli.difference import Step
from gridlink.registry import Entry

SAID = "(the last door to the outside)"


def with_last_door(steps: Sequence[Step], doors: Sequence[Entry], manager: str) -> tuple[Step, ...]:
    """The steps; the one that is said to close the last of the site's `doors` is that of the AppManager `manager`."""
    going = [step.module for step in steps if step.word == "uninstall"]
    if not doors or not all(door.name in going and manager in door.managed_by for door in doors):
        return tuple(steps)
    last = max((door.name for door in doors), key=going.index)
    return tuple(
        replace(step, reasons=(*step.reasons, SAID)) if step.word == "uninstall" and step.module == last else step
        for step in steps
    )
