"""The guardian's children: started, heard, ended in time, killed when silent, reaped, written down."""

from __future__ import annotations

import os
import select

from appmanager.guardian import child as children
from appmanager.guardian.child import Child
from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from appmanager.guardian.log import Log
    from appmanager.guardian.survivors import Survivors


class Readers:
    """What to call when a file has something to read."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], object]] = {}

    def add(self, fd: int, reader: Callable[[], object]) -> None:
        """Calls `reader` whenever there is something."""
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def remove(self, fd: int) -> None:
        """Stops that. May be called twice."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def run(self, within_s: float) -> None:
        """Waits up to `within_s` and calls those that have something."""
        for fd, _ in self._poll.poll(within_s * 1000):
            reader = self._readers.get(fd)
            if reader is not None:  # one that came before may have ended it
                reader()


class Family:
    """All children. `others` are the pids that are to be written down beside them."""

    def __init__(self, readers: Readers, survivors: Survivors, log: Log, others: Callable[[], list[int]]) -> None:
        self._readers, self._survivors, self._log, self._others = readers, survivors, log, others
        self._children: dict[int, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def start(self, name: str, run: Callable[[int, int], int], keep: Sequence[int] = ()) -> Child:
        """See `child.start`."""
        child = children.start(name, run, keep)
        self._children[child.pid] = child
        self._readers.add(child.heard_fd, child.listen)
        self.note()
        return child

    def pids(self) -> list[int]:
        """All processes, the others too."""
        return [*self._children, *self._others()]

    def note(self) -> None:
        """Writes down who lives, for the next guardian."""
        self._survivors.note(self.pids())

    def watch(self, now_s: float) -> None:
        """Kills whoever should have ended by now, or has said nothing for too long."""
        for child in self:
            if child.kill_at_s and now_s > child.kill_at_s:
                child.kill()
            elif not child.silent and (silent_s := child.silent_for_s(now_s)):
                self._log.error(f"{child.name} has said nothing for {silent_s:.0f} s: it is killed")
                child.silent = True
                child.kill()
            elif not child.silence.offender and child.silence.turn(now_s, child.starting):
                self._log.error(f"{child.name} is replaced: {child.silence.why}: {' < '.join(child.silence.stack)}")
                child.kill()

    def reap(self) -> Iterator[tuple[int, int, Child | None]]:
        """Those that have ended, as (pid, wait status, child); None stands for one that isn't a child of ours to name.

        What such a process has started in its group is killed with it: nobody else would end it.
        """
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            _kill_group(pid)  # as long as it isn't reaped, the group can be nobody else's
            _, status = os.waitpid(pid, 0)
            child = self._children.pop(pid, None)
            if child is not None:
                child.hear_out()
                self._readers.remove(child.heard_fd)
                child.close()
            self.note()
            yield pid, status, child

    def kill(self) -> None:
        """Ends all at once, and waits for them."""
        for child in self:
            child.kill()
            os.waitpid(child.pid, 0)
            if child.confinement is not None:
                child.confinement.close()
        self._children.clear()


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it has left nothing
