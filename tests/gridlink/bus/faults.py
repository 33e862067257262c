"""What is done to a nats-server under test: it is killed or suspended, for real."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from gridlink.bus.server import Server, configuration
from gridlink.testing import eventually


def kill(server: Server) -> None:
    """As the OOM killer would; the server's port is kept for the next start."""
    file = Path(server._file)
    port = int(server.url.rpartition(":")[2])
    file.write_text(configuration("test", port, str(file.parent)))
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    server.pid = 0


async def stopped(server: Server) -> None:
    """Suspends the server, and returns when it is (all its threads are)."""
    os.kill(server.pid, signal.SIGSTOP)
    threads = Path(f"/proc/{server.pid}/task")
    await eventually(lambda: all(") T " in (t / "stat").read_text() for t in threads.iterdir()))
