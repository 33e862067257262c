"""A site of real processes: a nats-server, workers on it, and the test's own node, which asks them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.module.retry import Retry
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.testing import eventually
from tests.conftest import clean_environment

ROOT = Path(__file__).parents[3]
Run = Callable[..., list[str]]
"""A command line that runs a command where the workers are."""


def _here(*command: str) -> list[str]:
    return list(command)


class Worker:
    """A process with the module `worker`."""

    def __init__(self, directory: Path, name: str, url: str, run: Run) -> None:
        self.name, self._done = name, directory / f"{name}.done"
        self._output = directory / f"{name}.out"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                run(sys.executable, "-m", "tests.integration.guarantees.worker", url, name, str(self._done)),
                stdout=output, stderr=output, cwd=ROOT, env=clean_environment(),
            )  # fmt: skip

    @property
    def is_ready(self) -> bool:
        """Whether its module is RUNNING."""
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} has ended: {self._output.read_text()}")
        return "ready" in self._output.read_text()

    def notes(self, what: str) -> list[str]:
        """The numbers of what was `begun`, `done`, `heard` or `handled`, in order."""
        lines = self._done.read_text().splitlines() if self._done.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{what} ")]

    def kill(self) -> None:
        """As the OOM killer would."""
        self.process.kill()
        self.process.wait()


class Site:
    """The server, the workers, and what the test's node asks with: as every module's `self.bus`."""

    def __init__(self, directory: Path, server: Server | None = None, run: Run = _here, url: str = "") -> None:
        self._server, self._directory, self._run = server, directory, run
        self._url = url or self.server.url  # as the workers reach it
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def server(self) -> Server:
        """The nats-server, where it runs on this machine."""
        assert self._server is not None
        return self._server

    async def open(self, url: str = "", name: str = "asking") -> None:
        """The test's own node."""
        self.bus = NatsBus("test", name)
        await self.bus.connect(url or self._url)
        self.node = await Node(self.bus, name).__aenter__()
        registry = self.node.registry
        retry = Retry(registry.reach.idempotent, self.bus.connected, registry.reach.twice_elsewhere)
        self.sender = Sender(self.bus, f"test@{name}", retry=retry)

    async def worker(self, name: str) -> Worker:
        """A worker more, which the test's node knows."""
        worker = Worker(self._directory, name, self._url, self._run)
        self._started.append(worker.process)
        await eventually(lambda: worker.is_ready, timeout_s=15)
        await self.node.registry.wait_for(instance=f"worker@{name}")
        return worker

    def dying(self, kind: str) -> subprocess.Popen[bytes]:
        """A sender that kills itself."""
        command = [sys.executable, "-m", "tests.integration.guarantees.dying", self.server.url, kind]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, env=clean_environment())
        self._started.append(process)
        return process

    async def counted(self, worker: Worker, name: str) -> int:
        """A counter of the worker's module, as `gridlink show` has it."""
        found = await self.sender.request(f"_node@{worker.name}", "counters", reply=dict[str, dict[str, Any]])
        return int(found[f"worker@{worker.name}"][name])

    async def flushed(self, *workers: Worker, number: str = "last") -> None:
        """Returns when the workers have heard an event that was published after everything before."""

        async def heard() -> bool:
            await self.sender.publish("news", "item", {"number": number})
            return all(number in worker.notes("heard") for worker in workers)

        await eventually(heard, timeout_s=15)

    def kill_server(self) -> None:
        """As the OOM killer would; its port is kept for the next start."""
        file = Path(self.server._file)
        port = int(self.server.url.rpartition(":")[2])
        file.write_text(configuration("test", port, str(file.parent)))
        os.kill(self.server.pid, signal.SIGKILL)
        os.waitpid(self.server.pid, 0)
        self.server.pid = 0

    async def aclose(self) -> None:
        """Ends all of it."""
        await self.node.aclose()
        for process in self._started:
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
        deadline_s = time.monotonic() + 15
        for process in self._started:
            process.wait(timeout=max(0.1, deadline_s - time.monotonic()))
