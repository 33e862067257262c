"""A wall clock of a machine's own, which a test sets while its processes run: see wall_clock.c.

nats-server is a static program of Go and keeps the real one; so does the desk, from which the test asks.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gridlink.tasks import Tasks

TEN_YEARS_S = 10 * 365 * 86400
SOURCE = Path(__file__).with_name("wall_clock.c")


def to_1970() -> int:
    """From now to what a board without a battery boots with."""
    return 100 - int(time.time())


class WallClock:
    """Of one machine. `environment`: of the processes that have it."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler is installed: apt-get install gcc libc6-dev")
        library = directory / "wall_clock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        self._file = directory / "wall_clock"
        self._file.write_bytes(struct.pack("=q", 0))
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._file)}
        self.steps = 0

    @property
    def off_s(self) -> int:
        """How far it is from the real one."""
        found: int = struct.unpack("=q", self._file.read_bytes())[0]
        return found

    def now_s(self) -> float:
        """Unix time by it."""
        return time.time() + self.off_s

    def step(self, off_s: int) -> None:
        """Sets it to so many seconds from the real one."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", off_s))
        self.steps += 1

    @asynccontextmanager
    async def jumping(self, every_s: float, rng: random.Random) -> AsyncIterator[None]:
        """Meanwhile it is set every so often: ten years back or ahead, to 1970, and right."""

        async def jump() -> None:
            while True:
                offsets = {TEN_YEARS_S, -TEN_YEARS_S, to_1970(), 0} - {self.off_s}
                self.step(rng.choice(sorted(offsets)))
                await asyncio.sleep(every_s)

        tasks = Tasks("wall clock")
        jumps = tasks.spawn(jump(), name="jumps")
        try:
            yield
            assert not jumps.done()
        finally:
            await tasks.aclose()
