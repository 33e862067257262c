"""A nats-server that the guardian keeps running: started again where it was, also when it hangs instead of ending."""

from __future__ import annotations

import os
import time

from appmanager.guardian.probe import Probe
from gridlink.bus.server import Server
from gridlink.errors import ServerUnreachable
from gridlink.restart import RestartHistory
from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from appmanager.guardian.log import Log


BOUNDED_EVERY_S = 1.0  # its log


class KeptServer:
    """One nats-server. `replaced(name, pid)` hears of each new process; `given_up` says why there is none any more."""

    def __init__(self, name: str, configuration_file: str, log: Log, replaced: Callable[[str, int], None]) -> None:
        self.name, self.given_up = name, ""
        self._server = Server(configuration_file)
        self._log, self._replaced = log, replaced
        self._history = RestartHistory()
        self._probe = Probe(lambda: self._server.url)
        self._due_s = 0.0  # 0: it runs, or is not to
        self._log_due_s = 0.0
        self._said = ""

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def pid(self) -> int:
        """Its process; 0 where there is none."""
        return self._server.pid

    def start(self) -> None:
        """Starts it for the first time. Raises ServerUnreachable."""
        self._server.start_anywhere()
        self._probe.reset(time.monotonic())
        self._log.info(f"{self.name} listens at {self.url}")

    def turn(self, now_s: float, turn_s: float) -> None:
        """Starts it where that is due, and ends it where it hangs; it is started again when it has been reaped."""
        if self._due_s and now_s >= self._due_s:
            self._due_s = 0.0
            self._start_again()
        elif self.pid and self._probe.turn(now_s, turn_s):
            self._probe.close()
            self._log.error(f"{self.name} answers nobody: it is killed")
            os.kill(self.pid, signal.SIGKILL)

    def bound_log(self, now_s: float) -> None:
        """Keeps its log small. Called several times a second."""
        if now_s < self._log_due_s:
            return
        self._log_due_s = now_s + BOUNDED_EVERY_S
        try:
            self._server.bound_log()
        except OSError as error:  # a full disk, for one: the server runs on
            if str(error) != self._said:
                self._said = str(error)
                self._log.error(f"the log of {self.name} can't be kept small: {error}")

    def ended(self) -> None:
        """It was reaped: it is started again by the policy, or given up."""
        self._server.pid = 0
        self._probe.reset(time.monotonic())
        wait_s = self._history.failed(time.monotonic())
        if wait_s is None:
            self.given_up = f"{self.name} ends again and again: see nats-server.log"
            return
        self._log.error(f"{self.name} ended: it is started again at {self.url} in {wait_s:g} s")
        self._due_s = time.monotonic() + wait_s

    def _start_again(self) -> None:
        try:
            self._server.start()
        except ServerUnreachable as error:
            self._log.error(str(error))
            self.ended()
            return
        self._probe.reset(time.monotonic())
        self._replaced(self.name, self.pid)

    def reload(self) -> None:
        """Makes it read its configuration again."""
        self._server.reload()

    def stop(self) -> None:
        """Ends it, and starts it no more. May be called twice."""
        self._due_s = 0.0
        self._probe.close()
        self._server.stop()
