"""Takes checkpoints of a node's instances: every so often, when they stop, and gives them to the next instance.

What hasn't changed isn't written again, and what is written stays within the flash budget.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from gridlink.errors import GridlinkError, StateInvalid
from gridlink.lifecycle import State
from gridlink.module.instance import Instance
from gridlink.node.checkpoints.budget import FlashBudget
from gridlink.node.checkpoints.form import Checkpoint, pack
from gridlink.node.checkpoints.store import States

log = logging.getLogger("gridlink.node")

EVERY_S = 30.0
FAILURES = 2
BYTES_A_DAY = 64 * 1024 * 1024


class Keeper:
    """Of one node. A module that has no `snapshot` costs nothing."""

    def __init__(self, states: States, every_s: float = EVERY_S, bytes_a_day: int = BYTES_A_DAY) -> None:
        self._states, self._every_s = states, every_s
        self._budget = FlashBudget(bytes_a_day, time.monotonic())
        self._digests: dict[str, str] = {}  # of what is on disk
        self._failures: dict[str, int] = {}  # to start from the checkpoint
        self._said: dict[str, str] = {}  # what went wrong last time, said once

    @property
    def written_bytes(self) -> int:
        """What it has written, as blocks of flash."""
        return self._budget.written_bytes

    def give(self, instance: Instance) -> None:
        """Hands the module's checkpoint to an instance that is about to start; a damaged one is put aside."""
        module = instance.module
        if instance.has_snapshot:
            self._tidy(module)
        try:
            found = self._states.read(module)
        except StateInvalid as error:
            self._refuse(module, str(error))
            return
        if found is not None:
            instance.state_to_restore = found.state
            self._digests[module] = found.digest

    def _tidy(self, module: str) -> None:
        try:
            self._states.tidy(module)
        except OSError as error:
            log.warning("%s: what a killed process left of its checkpoint can't be removed: %s", module, error)

    def failed(self, instance: Instance, error: BaseException) -> None:
        """The instance did not start from the checkpoint: refused, or failed twice, the next begins without."""
        module = instance.module
        self._failures[module] = self._failures.get(module, 0) + 1
        if isinstance(error.__cause__, StateInvalid) or self._failures[module] >= FAILURES:
            self._refuse(module, f"{module} does not start from its checkpoint: {error}")

    async def run(self, instances: Iterable[Instance]) -> None:
        """Takes checkpoints of what is in `instances`, again and again. Cancelling it ends that."""
        while True:
            await asyncio.sleep(self._every_s)
            for instance in list(instances):
                if instance.state is State.RUNNING and instance.has_snapshot:
                    await self.keep(instance)

    async def keep_last(self, instance: Instance) -> None:
        """Takes the one of an instance that stops: the budget doesn't hold it up."""
        await self.keep(instance, last=True)

    async def keep(self, instance: Instance, *, last: bool = False) -> None:
        """Takes one, and writes it where it has changed."""
        try:
            await self.kept(instance, last=last)
        except (GridlinkError, OSError) as error:
            self._say(instance.module, f"no checkpoint: {error}")

    async def kept(self, instance: Instance, *, last: bool = True) -> bytes | None:
        """The same; returns the state. Raises StateInvalid, OSError where there is no checkpoint of it."""
        module = instance.module
        if not instance.has_snapshot:
            return None
        state = await instance.snapshot()
        checkpoint = Checkpoint(module, instance.version, time.time(), state)
        if checkpoint.digest == self._digests.get(module):
            return state
        content = pack(checkpoint)
        if not self._budget.take(len(content), time.monotonic()) and not last:
            self._say(module, "not kept now: the flash budget of checkpoints is used up")
            return state
        await asyncio.to_thread(self._states.write, module, content)
        self._digests[module] = checkpoint.digest
        self._failures.pop(module, None)
        self._said.pop(module, None)
        return state

    def _refuse(self, module: str, why: str) -> None:
        self._digests.pop(module, None)
        self._failures.pop(module, None)
        try:
            where = f"put aside as {self._states.refuse(module)}"
        except OSError as error:  # a disk that turned read-only keeps no module from starting
            where = f"left where it is: {error}"
        log.error("%s: it begins afresh, the checkpoint is %s", why, where)

    def _say(self, module: str, text: str) -> None:
        if self._said.get(module) != text:
            self._said[module] = text
            log.error("%s: %s", module, text)
