"""What of a time that was measured is the machine's: the waits for a processor, as the kernel counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.acceptance.running import Running

LOOK_EVERY_S = 0.02


class Waited:
    """`seconds`: of the main thread of a node, and then of the one that replaces it: their waits don't overlap."""

    def __init__(self, node: Running) -> None:
        self._node = node
        self._before = {pid: _waited_s(pid) for pid in self._pids()}
        self._after = dict(self._before)

    def look(self) -> None:
        """To be called often: of a process that is gone nothing can be read."""
        for pid in self._pids():
            self._after[pid] = max(self._after.get(pid, 0.0), _waited_s(pid))

    @property
    def seconds(self) -> float:
        """So far."""
        return sum(after_s - self._before.get(pid, 0.0) for pid, after_s in self._after.items())

    def _pids(self) -> set[int]:
        return {self._node.file["pids"]["node"]}


@asynccontextmanager
async def waited_s(node: Running) -> AsyncIterator[Waited]:
    """Looks as long as the context lasts."""
    waited = Waited(node)

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            waited.look()

    looking = asyncio.get_running_loop().create_task(look())
    try:
        yield waited
    finally:
        looking.cancel()
        waited.look()


def _waited_s(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
