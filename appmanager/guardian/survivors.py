"""The guardian's children, written down, so that what outlives a killed guardian is ended by the next one.

A child sees its guardian's end and ends in order, but one that is stuck in C code, or stopped, doesn't. A line holds a
process id and the time of its start, as the id alone may be somebody else's by now; the first line names the boot.
"""

from __future__ import annotations

import os
import time

from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from appmanager.guardian.log import Log

PATIENCE_S = 2.0  # for those that end in order by themselves


class Survivors:
    """The file `children` in the state directory. Nothing here raises: a full disk must not end the guardian."""

    def __init__(self, state_dir: str, log: Log) -> None:
        self._path, self._log = os.path.join(state_dir, "children"), log
        self._noted = ""

    def note(self, pids: Iterable[int]) -> None:
        """Writes down who lives now; not where nothing has changed."""
        lines = [_boot(), *(f"{pid} {started}" for pid in sorted(pids) if (started := started_at(pid)))]
        text = "\n".join(lines) + "\n"
        if text == self._noted:
            return
        try:
            with open(self._path + ".new", "w", encoding="ascii") as file:
                file.write(text)
            os.replace(self._path + ".new", self._path)
        except OSError as error:
            self._log.error(f"{self._path} can't be written, so a killed guardian's children may be left: {error}")
        self._noted = text

    def end(self) -> None:
        """Ends what a former guardian has left; returns when nothing of it is there any more."""
        left = self._left()
        deadline_s = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline_s:
            time.sleep(0.02)
            left = {pid: started for pid, started in left.items() if _lives(pid, started)}
        for pid, started in left.items():
            self._log.error(f"process {pid} has outlived a former guardian: it is killed")
            try:
                os.killpg(pid, signal.SIGKILL)  # each child leads a group: what it has started goes with it
            except ProcessLookupError:
                continue
            while _lives(pid, started):
                time.sleep(0.005)

    def forget(self) -> None:
        """Removes the file: all children have ended."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return

    def _left(self) -> dict[int, str]:
        try:
            with open(self._path, encoding="ascii") as file:
                boot, *lines = file.read().split("\n")
        except (OSError, UnicodeDecodeError):
            return {}
        if boot != _boot():
            return {}
        noted = [line.split() for line in lines]
        pairs = {int(words[0]): words[1] for words in noted if len(words) == 2 and words[0].isdigit()}
        return {pid: started for pid, started in pairs.items() if _lives(pid, started)}


def started_at(pid: int) -> str:
    """When a process was started, in clock ticks since the boot; empty where there is none."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _lives(pid: int, started: str) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[19] == started and fields[0] not in ("Z", "X")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything; none where the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
