"""The guardian's loop: single-threaded, without asyncio and without the bus, so that nothing of a module can stop it.

It owns every process of the managed directory: nats-server, the node, the processes of bundles. What it decides: a
node or server that dies is started again by the restart policy; a child that says nothing for SILENT_S is killed.
Which bundles run is the AppManager's business, which asks over two pipes (`control`, and `appmanager.link`).

It imports next to nothing: it runs as long as the board does, and each of its MiB is one that no module has.
"""

from __future__ import annotations

import os
import select
import signal
import time

from appmanager.guardian import child as children
from appmanager.guardian.child import SILENT_S, Child, ended_how
from appmanager.guardian.control import Control
from appmanager.guardian.lock import ManagedLock
from appmanager.guardian.log import Log
from gridlink.bus.server import Server
from gridlink.errors import ServerUnreachable
from gridlink.restart import RestartHistory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICK_S = 0.25
STOP_GRACE_S = 20.0


class Guardian:
    """Runs one managed directory until it is told to end.

    `settings` is the node's NodeSettings as JSON, passed on as it is. `server_file`: the configuration of a nats-server
    to run, or empty. `for_s`: end after so many seconds; 0: run until told.
    """

    def __init__(self, settings: str, server_file: str, for_s: float, lock: ManagedLock, log: Log) -> None:
        self._settings, self._lock, self._log = settings, lock, log
        self._server = Server(server_file) if server_file else None
        self._server_history, self._node_history = RestartHistory(), RestartHistory()
        self._node: Child | None = None
        self._control: Control | None = None
        self._node_due_s = self._server_due_s = 0.0  # 0: it runs, or is not to
        self._blocked: dict[str, str] = {}
        self._ran = False  # the node has been ready once
        self._children: dict[int, Child] = {}
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._signals = os.pipe()
        self._end_s = time.monotonic() + for_s if for_s else 0.0
        self._ending = False
        self._status = 0

    def run(self) -> int:
        """Runs until SIGTERM, SIGINT or its time is over; returns the exit status. Ends all children first.

        Raises ServerUnreachable when nats-server doesn't start.
        """
        self._listen_for_signals()
        try:
            if self._server is not None:
                self._server.start_anywhere()
                self._log.info(f"nats-server listens at {self._server.url}")
            self._start_node()
            while not (self._ending and not self._children):
                self._turn()
        finally:
            self._kill_rest()
        return self._status

    # The loop.

    def _turn(self) -> None:
        for fd, _ in self._poll.poll(TICK_S * 1000):
            reader = self._readers.get(fd)
            if reader is not None:  # one that came before may have ended it
                reader()
        self._reap()
        now_s = time.monotonic()
        if self._end_s and now_s >= self._end_s:
            self._end("its time is over")
        if self._server_due_s and now_s >= self._server_due_s and not self._ending:
            self._server_due_s = 0.0
            self._start_server_again()
        if self._node_due_s and now_s >= self._node_due_s and not self._ending:
            self._node_due_s = 0.0
            self._start_node()
        for child in self._children.values():
            self._watch(child, now_s)

    def _watch(self, child: Child, now_s: float) -> None:
        if child.wants_reload:
            child.wants_reload = False
            if self._server is not None:
                self._server.reload()
        if child.kill_at_s and now_s > child.kill_at_s:
            child.signal(signal.SIGKILL)
        elif not child.silent and (silent_s := child.silent_for_s(now_s)):
            self._log.error(f"{child.name} has said nothing for {silent_s:.0f} s: it is killed")
            child.silent = True
            child.signal(signal.SIGKILL)

    def _read(self, fd: int, reader: Callable[[], None]) -> None:
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def _unread(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    # Children.

    def _start_node(self) -> None:
        control = self._control = Control()
        self._node = self._adopt(children.start("node", lambda say, held: self._run_node(control, say, held)))
        control.keep_ours()
        self._read(control.orders_fd, self._on_orders)

    def _run_node(self, control: Control, say_fd: int, held_fd: int) -> int:
        """In the forked child: leaves what is the guardian's, and is the node."""
        guardian_pid, server = os.getppid(), self._server
        self._leave()
        from gridlink import lean  # noqa: PLC0415 - the guardian never loads what follows

        lean.import_asyncio()
        from gridlink.node.process import Given, run_forked  # noqa: PLC0415

        given = Given(
            url=server.url if server is not None else "",
            pids={"guardian": guardian_pid, "nats_server": server.pid if server is not None else 0},
            control_fds=control.keep_theirs(),
            blocked=self._blocked,
        )
        return run_forked(self._settings, given, say_fd, held_fd)

    def _leave(self) -> None:
        self._lock.close()
        for child in self._children.values():
            child.close()
        for fd in self._signals:
            os.close(fd)

    def _adopt(self, child: Child) -> Child:
        self._children[child.pid] = child
        self._read(child.heard_fd, child.listen)
        return child

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._server is not None and pid == self._server.pid:
                self._server.pid = 0
                self._restart_server()
            elif pid in self._children:
                self._ended(self._children.pop(pid), status)

    def _ended(self, ended: Child, status: int) -> None:
        ended.listen()
        self._unread(ended.heard_fd)
        ended.close()
        if ended is self._node:
            self._node_ended(ended, status)
        elif self._control is not None:
            code, how = os.waitstatus_to_exitcode(status), ended_how(status, ended.silent)
            self._control.say("exited", ended.name, str(code), how, ended.reason)

    def _node_ended(self, ended: Child, status: int) -> None:
        self._node = None
        self._ran = self._ran or ended.ready
        if self._control is not None:
            self._unread(self._control.orders_fd)
            self._control.close()
            self._control = None
        if self._ending:
            self._stop_all()
        elif not self._ran and os.WIFEXITED(status) and not ended.starting:
            self._status = os.WEXITSTATUS(status) or 1  # it has said why
            self._end("the node did not start")
        else:
            self._restart_node(ended, status)

    def _restart_node(self, ended: Child, status: int) -> None:
        if ended.starting:
            self._blocked[ended.starting] = (
                f"it blocked the event loop for {SILENT_S:g} s while it was imported or started, and its node was "
                "replaced: move what blocks into a thread, or run it in mode process"
                if ended.silent
                else f"it ended its node while it was imported or started ({ended_how(status, silent=False)}): correct "
                "it, or run it in mode process"
            )
        wait_s = self._node_history.failed(time.monotonic())
        if wait_s is None:
            self._status = 1
            self._end("the node ends again and again")
            return
        self._log.error(f"the node ended ({ended_how(status, ended.silent)}): it is started again in {wait_s:g} s")
        self._node_due_s = time.monotonic() + wait_s

    def _restart_server(self) -> None:
        if self._server is None or self._ending:
            return
        wait_s = self._server_history.failed(time.monotonic())
        if wait_s is None:
            self._status = 1
            self._end("nats-server ends again and again: see nats-server.log")
            return
        self._log.error(f"nats-server ended: it is started again at {self._server.url} in {wait_s:g} s")
        self._server_due_s = time.monotonic() + wait_s

    def _start_server_again(self) -> None:
        if self._server is None:
            return
        try:
            self._server.start()
        except ServerUnreachable as error:
            self._log.error(str(error))
            self._restart_server()

    # What the AppManager asks.

    def _on_orders(self) -> None:
        if self._control is None:
            return
        orders = self._control.orders()
        if orders is None:  # the node is gone, and will be reaped
            self._unread(self._control.orders_fd)
            return
        for order in orders:
            name = order[1] if len(order) > 1 else ""
            if order[0] == "spawn" and not self._ending and not self._named(name):
                self._adopt(children.start(name, self._alone(order[2])))
            elif order[0] == "stop":
                for child in self._named(name):
                    child.stop(float(order[2]))
            elif order[0] == "children":
                living = [child.name for child in self._children.values() if child is not self._node]
                self._control.say("children", *living)

    def _alone(self, settings: str) -> Callable[[int, int], int]:
        become = children.fresh_interpreter(settings)

        def run(say_fd: int, held_fd: int) -> int:
            self._leave()
            return become(say_fd, held_fd)

        return run

    def _named(self, name: str) -> list[Child]:
        return [child for child in self._children.values() if child.name == name and child is not self._node]

    # Ending.

    def _listen_for_signals(self) -> None:
        read, write = self._signals
        for fd in (read, write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._read(read, self._on_signals)

    def _on_signals(self) -> None:
        if {signal.SIGTERM, signal.SIGINT} & set(os.read(self._signals[0], 256)):
            self._end("it was told to")

    def _end(self, why: str) -> None:
        if self._ending:
            return
        self._ending = True
        self._log.info(f"the guardian ends: {why}")
        if self._node is not None:
            self._node.stop(STOP_GRACE_S)  # its AppManager stops the others in order
        else:
            self._stop_all()

    def _stop_all(self) -> None:
        for child in self._children.values():
            child.stop(STOP_GRACE_S)

    def _kill_rest(self) -> None:
        for child in self._children.values():
            child.signal(signal.SIGKILL)
            os.waitpid(child.pid, 0)
        if self._server is not None:
            self._server.stop()
