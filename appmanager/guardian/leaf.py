"""The site's JetStream server: kept running like the node's own, but nothing waits for it, and it is never given up.

It may read a large store before it listens, and what is durable can wait; everything else runs on without it.
"""

from __future__ import annotations

import os
import time

from appmanager.guardian.servers import KeptServer
from gridlink.errors import ServerUnreachable
from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from appmanager.guardian.log import Log

MEMORY_LIMIT = "24MiB"  # it idles at 7; a thousand events a second took it to 26 with twice as much
PATIENT_S = 30.0  # between two starts of a server that ends again and again


class LeafServer(KeptServer):
    """One nats-server that others can do without."""

    ready = False  # it listens

    def __init__(self, name: str, configuration_file: str, log: Log, replaced: Callable[[str, int], None]) -> None:
        super().__init__(name, configuration_file, log, replaced)
        self._server.memory_limit = MEMORY_LIMIT

    def start(self) -> None:
        """Starts it; `turn` sees when it listens."""
        try:
            self._server.launch()
        except (ServerUnreachable, OSError) as error:
            self._log.error(f"{self.name} can't be started: {error}")
            self._due_s = time.monotonic() + PATIENT_S

    def turn(self, now_s: float, turn_s: float) -> None:
        """See KeptServer."""
        if self._due_s and now_s >= self._due_s:
            self._due_s = 0.0
            self.start()
            self._replaced(self.name, self.pid)
        elif self.pid and not self.ready:
            self.ready = self._server.is_ready()
            if self.ready:
                self._probe.reset(now_s)
                self._log.info(f"{self.name} listens at {self.url}")
        elif self.pid and self._probe.turn(now_s, turn_s):
            self._probe.close()
            self._log.error(f"{self.name} answers nobody: it is killed")
            os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> None:
        """See KeptServer."""
        said = "" if self.ready else f" ({self._server.last_words()})"
        self._server.pid, self.ready = 0, False
        self._probe.reset(time.monotonic())
        wait_s = self._history.failed(time.monotonic()) or PATIENT_S
        self._log.error(f"{self.name} ended{said}: it is started again in {wait_s:g} s")
        self._due_s = time.monotonic() + wait_s
