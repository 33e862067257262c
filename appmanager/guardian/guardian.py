"""The guardian's loop: single-threaded, without asyncio and without the bus, so that nothing of a module can stop it.

It owns every process of the managed directory: nats-server, the node, the processes of bundles. What it decides: a
node or server that dies or hangs is replaced by the restart policy; a child that says nothing for SILENT_S is killed.
Which bundles run is the AppManager's business, which asks over two pipes (`control`, and `appmanager.link`).

It imports next to nothing: it runs as long as the board does, and each of its MiB is one that no module has. Only where
a bundle asks for mode `fork` it loads what its children share (`zygote`).
"""

from __future__ import annotations

import os
import time

from appmanager.guardian import secret
from appmanager.guardian.child import SILENT_S, Child, ended_how, fresh_interpreter
from appmanager.guardian.control import Control
from appmanager.guardian.crashes import Crashes
from appmanager.guardian.family import Family, Readers
from appmanager.guardian.log import Log
from appmanager.guardian.notify import Systemd
from appmanager.guardian.offenders import Offenders
from appmanager.guardian.servers import KeptServer
from appmanager.guardian.survivors import Survivors
from appmanager.guardian.zygote import Zygote
from gridlink.restart import RestartHistory
from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appmanager.guardian.leaf import LeafServer
    from appmanager.guardian.limits import Limits

TICK_S = 0.25
STOP_WITHIN_S = 20.0
REST_WITHIN_S = 2.0  # of that: for what the AppManager has left running


class Guardian:
    """Runs one managed directory until it is told to end.

    `settings` is the node's NodeSettings as JSON, passed on as it is. `server_file`: the configuration of a nats-server
    to run, or empty; on a second line, that of the site's JetStream server, which runs from when it is there and the
    AppManager asks for it, or from the start. `for_s`: end after so many seconds; 0: run until told.
    """

    def __init__(self, settings: str, server_file: str, for_s: float, state_dir: str, log: Log, zygote: Zygote) -> None:
        self._settings, self._log, self._zygote = settings, log, zygote
        server_file, _, self._leaf_file = server_file.partition("\n")
        self._servers = [KeptServer("nats_server", server_file, log, self._replaced)] if server_file else []
        self._leaf: LeafServer | None = None
        self._leaf_asked = False  # the AppManager is to hear when it listens
        self._make_leaf()
        self._survivors = Survivors(state_dir, log)
        self._readers = Readers()
        self._family = Family(self._readers, self._survivors, log, lambda: [s.pid for s in self._servers if s.pid])
        self._history = RestartHistory()
        self._node: Child | None = None
        self._control: Control | None = None
        self._secret_fd = secret.make()
        self._node_due_s = 0.0  # 0: it runs, or is not to
        self._blocked: dict[str, str] = {}
        self._offenders, self._crashes = Offenders(), Crashes()
        self._limits: Limits | None = None
        self._systemd = Systemd(os.environ)
        self._ran = False  # the node has been ready once
        self._signals = os.pipe()
        self._ends_at_s = time.monotonic() + for_s if for_s else 0.0
        self._gone_by_s = 0.0  # 0: it isn't ending
        self._status = 0

    def run(self) -> int:
        """Runs until SIGTERM, SIGINT or its time is over; returns the exit status. Ends all children first.

        Raises ServerUnreachable when a nats-server doesn't start.
        """
        self._listen_for_signals()
        self._survivors.end()
        try:
            for server in self._servers:
                server.start()
            self._start_node()
            while not (self._gone_by_s and not self._family):
                self._turn()
        finally:
            self._family.kill()
            for server in reversed(self._servers):
                server.stop()
            self._survivors.forget()
        return self._status

    # The loop.

    def _turn(self) -> None:
        self._readers.run(TICK_S)
        for pid, status, child in self._family.reap():
            self._reaped(pid, status, child)
        now_s = time.monotonic()
        if self._ends_at_s and now_s >= self._ends_at_s:
            self._end("its time is over")
        if not self._gone_by_s:
            for server in self._servers:
                server.turn(now_s, TICK_S)
                server.bound_log(now_s)
            if self._node_due_s and now_s >= self._node_due_s:
                self._node_due_s = 0.0
                self._start_node()
        if self._leaf_asked and self._leaf is not None and self._leaf.ready and self._control is not None:
            self._leaf_asked = False
            self._control.say("store", self._leaf.url)
        if self._node is not None and self._node.wants_reload:
            self._node.wants_reload = False
            for server in self._servers:
                server.reload()
        self._family.watch(now_s)
        self._systemd.turn(now_s, self._node)

    def _reaped(self, pid: int, status: int, child: Child | None) -> None:
        for server in self._servers:
            if pid == server.pid:
                server.ended()
                if server.given_up and not self._gone_by_s:
                    self._status = 1
                    self._end(server.given_up)
        if child is None:
            return
        if child is self._node:
            self._node_ended(child, status)
            return
        how = self._crashes.how(child, status, ended_how(status, child.silent, child.confinement))
        if child.starting and not child.silence.offender and not child.kill_at_s:
            child.silence.starts(child.starting, how)
        self._note(child, child.name)
        if self._control is not None:
            reason = child.reason or (child.silence.why if child.silence.offender else "")
            self._control.say("exited", child.name, str(os.waitstatus_to_exitcode(status)), how, reason)
        if child.confinement is not None:
            child.confinement.close()

    def _note(self, child: Child, host: str) -> bool:
        """Notes and tells what a module did to a process that has ended; whether it is not to be there again."""
        offence = self._offenders.note(child, host)
        if offence is None:
            return False
        if offence.kind == "crashed":
            self._log.error(f"{child.name} crashed: {offence.why}: {' < '.join(offence.stack)}")
        if self._control is not None and child is not self._node:
            self._control.say("offence", *offence.words())
        else:
            self._offenders.tell_later(offence)
        return offence.moves

    def _replaced(self, name: str, pid: int) -> None:
        self._family.note()
        if self._node is not None:
            self._node.tell("pid", name, str(pid))

    def _make_leaf(self) -> bool:
        """Has the site's JetStream server among those that run, where it is to; True: it has yet to be started."""
        if self._leaf is not None or not os.path.exists(self._leaf_file):
            return False
        from appmanager.guardian.leaf import LeafServer  # noqa: PLC0415 - where something is durable

        self._leaf = LeafServer("jetstream_server", self._leaf_file, self._log, self._replaced)
        self._servers.append(self._leaf)
        return True

    def _start_leaf(self, anew: bool) -> None:
        """The AppManager has written its configuration, and waits for it."""
        self._leaf_asked = True
        if self._gone_by_s:
            return
        if self._make_leaf() and self._leaf is not None:
            self._leaf.start()
            self._replaced(self._leaf.name, self._leaf.pid)
        elif anew and self._leaf is not None:
            self._leaf.start_anew()

    # The node.

    def _start_node(self) -> None:
        control, untold = Control(), self._offenders.untold()
        self._control = control
        self._node = self._family.start(
            "node", lambda say, held: self._run_node(control, untold, say, held), (*control.theirs, self._secret_fd)
        )
        control.keep_ours()
        self._readers.add(control.orders_fd, self._on_orders)

    def _run_node(self, control: Control, untold: list[dict[str, object]], say_fd: int, held_fd: int) -> int:
        """In the forked child: is the node."""
        from gridlink import lean  # noqa: PLC0415 - the guardian loads what follows only where it is the zygote

        lean.find_packages()
        lean.import_libraries()
        from gridlink.node.process import Given, run_forked  # noqa: PLC0415

        given = Given(
            url=self._servers[0].url if self._servers else "",
            pids={"guardian": os.getppid(), **{server.name: server.pid for server in self._servers}},
            control_fds=control.theirs,
            blocked=self._blocked,
            moved=self._offenders.moved,
            offences=untold,
            outside=self._offenders.outside(),
            keys=secret.take(self._secret_fd),
        )
        return run_forked(self._settings, given, say_fd, held_fd)

    def _node_ended(self, ended: Child, status: int) -> None:
        self._node = None
        self._ran = self._ran or ended.ready
        if self._control is not None:
            self._readers.remove(self._control.orders_fd)
            self._control.close()
            self._control = None
        if self._gone_by_s:
            self._stop_rest()
        elif not self._ran and os.WIFEXITED(status) and not ended.starting:
            self._status = os.WEXITSTATUS(status) or 1  # it has said why
            self._end("the node did not start")
        else:
            self._restart_node(ended, status)

    def _restart_node(self, ended: Child, status: int) -> None:
        how = self._crashes.how(ended, status, ended_how(status, ended.silent))
        if ended.starting:
            self._blocked[ended.starting] = (
                f"it blocked the event loop for {SILENT_S:g} s while it was imported or started, and its node was "
                "replaced: move what blocks into a thread, or run it in mode fork or process"
                if ended.silent
                else f"it ended its node while it was imported or started ({how}): correct "
                "it, or run it in mode fork or process"
            )
        wait_s = self._history.failed(time.monotonic())
        if wait_s is None:
            self._status = 1
            self._end("the node ends again and again")
            return
        if not ended.starting and self._note(ended, ""):
            wait_s = 0.0  # the next one is without it
        self._log.error(f"the node ended ({how}): it is started again in {wait_s:g} s")
        self._node_due_s = time.monotonic() + wait_s

    # What the AppManager asks.

    def _on_orders(self) -> None:
        if self._control is None:
            return
        orders = self._control.orders()
        if orders is None:  # the node is gone, and will be reaped
            self._readers.remove(self._control.orders_fd)
            return
        for order in orders:
            try:
                self._obey(self._control, *order)
            except (TypeError, ValueError, IndexError) as error:  # a module of the node may write to any file of it
                self._log.error(f"what is no order was passed over: {order[0][:20]!r}: {error}")

    def _obey(self, control: Control, what: str, name: str, *words: str) -> None:
        if what == "spawn" and not self._gone_by_s and not self._named(name):
            self._spawn(name, *words)
        elif what == "stop":
            for child in self._named(name):
                child.stop(float(words[0]))
        elif what == "forgive":
            self._blocked.pop(name, None)
            self._offenders.forgive(name)
        elif what == "store":
            self._start_leaf(anew=name == "anew")
        elif what == "status":
            self._systemd.status(words[0])
        elif what == "children":
            living = (child for child in self._family if child is not self._node)
            control.say("children", *(f"{child.name}={child.mode}" for child in living))

    def _spawn(self, name: str, mode: str, limits: str, settings: str, keys: str = "") -> None:
        run = self._zygote.child(settings, keys) if mode == "fork" else fresh_interpreter(settings, keys)
        if not limits:
            self._family.start(name, run).mode = mode
            return
        if self._limits is None:
            from appmanager.guardian.limits import Limits  # noqa: PLC0415 - where a bundle names some

            self._limits = Limits(self._log)
        confinement = self._limits.confine(name, limits, [os.getpid(), *self._family.pids()])
        is_fresh = mode != "fork" or not self._zygote.is_warm
        child = self._family.start(name, confinement.entered(run, is_fresh))
        child.mode, child.confinement = mode, confinement

    def _named(self, name: str) -> list[Child]:
        return [child for child in self._family if child.name == name and child is not self._node]

    # Ending.

    def _listen_for_signals(self) -> None:
        read, write = self._signals
        for fd in (read, write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # one that came while Python started is heard now
        self._readers.add(read, self._on_signals)

    def _on_signals(self) -> None:
        if {signal.SIGTERM, signal.SIGINT} & set(os.read(self._signals[0], 256)):
            self._end("it was told to")

    def _end(self, why: str) -> None:
        if self._gone_by_s:
            return
        self._gone_by_s = time.monotonic() + STOP_WITHIN_S
        self._log.info(f"the guardian ends: {why}")
        self._systemd.stopping(why)
        if self._node is not None:
            self._node.stop(STOP_WITHIN_S - REST_WITHIN_S)  # its AppManager stops the others in order
        else:
            self._stop_rest()

    def _stop_rest(self) -> None:
        for child in self._family:
            child.stop(max(REST_WITHIN_S, self._gone_by_s - time.monotonic()))
