"""What carrying out a command asks of whoever runs the modules: the AppManager. Files are none of its business."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from appmanager.provisioning.machine import Step
from appmanager.provisioning.plan import Plan


class Host(Protocol):
    """Each may raise: GridlinkError, with the reason as the operator is to read it, or anything else."""

    async def receive(self, plan: Plan, into: Path) -> None:
        """Has the bundle in the file `into`, whole. What is there already is kept and gone on with."""

    async def preflight(self, plan: Plan, staged: Path) -> None:
        """Refuses (raises) what can't run here. `staged`: a bundle's directory; for configure, the new config.json."""

    async def snapshot(self, plan: Plan) -> bytes | None:
        """Holds the module's intake, lets its handlers finish, returns its packed checkpoint; None: it has no state.

        What is held goes on to the new version at `start`, or to the old one at `go_back`.
        """

    async def stop(self, plan: Plan) -> None:
        """Ends the module, for good."""

    async def start(self, plan: Plan, directory: Path, state: bytes | None) -> None:
        """Starts the version in `directory` with a state; for configure, has the module take its new config.json."""

    async def watch(self, plan: Plan) -> None:
        """Returns when the health window has passed; raises when the module isn't healthy in it."""

    async def abandon(self, plan: Plan, reached: Step) -> None:
        """Ends what runs of the new version, if any; the old one's files and state are put back next.

        `reached`: the step that failed, which may have been done half, or not at all.
        """

    async def go_back(self, plan: Plan, reached: Step, directory: Path, state: bytes | None) -> None:
        """Has what ran before the command run again, with its state; `directory` is as it was. Install: nothing ran."""

    def remark(self, plan: Plan) -> str:
        """What an operator is to know of how it went, also where all went well; empty as a rule. Asked at its end."""

    async def settle(self, plan: Plan) -> None:
        """The new version stays: what was held back for going back may go."""
