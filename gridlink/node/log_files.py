"""The log files of a managed directory as records: read, merged by time, and followed over their rotation.

A clock that was set back leaves records of the future: they were logged before it was, and come before what is logged
since; and whoever has heard all up to the future is told what is new all the same.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SLACK_S = 60.0  # more than a record can take from its process to a reader
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\w+) +([^\s:]+(?::[^\s:]+)*): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Record:
    """One log record. `text` may have more lines: a traceback."""

    time: str
    level: str
    module: str
    text: str

    def of(self, name: str) -> bool:
        """Whether it belongs to the module or instance of that name, or to one of its processes."""
        return name in (self.module, self.module.partition("@")[0], self.module.removeprefix("module."))


def parse(line: str) -> Record | None:
    """The record that begins with this line; None for a line that goes on with the one before."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
            text = "\n".join(part for part in (found["text"], found.get("error")) if part)
            return Record(found["time"], found["level"], found["module"], text)
        except (ValueError, KeyError, TypeError):
            return None
    match = _LINE.match(line)
    return Record(*match.groups()) if match else None


def records(lines: Iterable[str]) -> Iterator[Record]:
    """The records in the lines of one file; lines of none before the first are left out."""
    current: Record | None = None
    for line in lines:
        begun = parse(line)
        if begun is not None:
            if current is not None:
                yield current
            current = begun
        elif current is not None:
            current = Record(current.time, current.level, current.module, f"{current.text}\n{line}")
    if current is not None:
        yield current


def merged(files: Iterable[Iterable[Record]]) -> Iterator[Record]:
    """The records of all files in order of time; those of a file keep theirs, and those of the future come first."""
    latest = _spelled(time.time() + SLACK_S)
    return heapq.merge(*files, key=lambda record: record.time if record.time <= latest else "")


def last_records(path: Path, name: str, last: int, since: str = "", most_characters: int = 1 << 18) -> list[Record]:
    """The last records of a directory's files, of `name` or all, from a time on. Holds no more in memory than those.

    From a time that is to come, they are those of the last minute, and of the future. The oldest go where they are
    longer than `most_characters` together.
    """
    now_s = time.time()
    since = since if since <= _spelled(now_s + SLACK_S) else _spelled(now_s - SLACK_S)
    files = [_streamed(file) for file in sorted(path.glob("*.log"))]
    wanted = (one for one in merged(files) if one.time >= since and (not name or one.of(name)))
    kept: deque[Record] = deque(wanted, maxlen=last)
    size = sum(len(one.text) for one in kept)
    while kept and size > most_characters:
        size -= len(kept.popleft().text)
    return list(kept)


def _spelled(at_s: float) -> str:
    """A time as records have it, but for its fraction."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(0.0, at_s)))


def _streamed(path: Path) -> Iterator[Record]:
    """The records of a file and the older one beside it, one at a time."""
    older = path.with_name(path.name + ".1")
    return records(line for file in (older, path) for line in _lines_of(file))


def _lines_of(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            for line in opened:
                yield line.rstrip("\n")
    except FileNotFoundError:
        return  # it was turned over just now, or never


@dataclass(slots=True)
class _Tail:
    """One file that is read on: the open file, and the end of a line that has not come whole."""

    fd: int
    inode: int
    partial: bytes = b""

    def lines(self) -> list[str]:
        """The lines that have come since."""
        received = self.partial
        while block := os.read(self.fd, 1 << 16):
            received += block
        *whole, self.partial = received.split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]


@dataclass(slots=True)
class LogDirectory:
    """Every `*.log` of a directory, and the older `*.log.1` beside it. `close` it at the end."""

    path: Path
    _tails: dict[Path, _Tail] = field(default_factory=dict)

    def read(self) -> list[Record]:
        """All records that are there now, in order of time; `more` goes on from here."""
        files: list[list[Record]] = []
        for path in sorted(self.path.glob("*.log")):
            lines: list[str] = []
            older = path.with_name(path.name + ".1")
            if older.exists():
                lines += older.read_text("utf-8", "replace").splitlines()
            lines += self._lines(path)
            files.append(list(records(lines)))
        return list(merged(files))

    def more(self) -> list[Record]:
        """The records that have come since, in order of time; new files and files that were turned over included."""
        files = [list(records(self._lines(path))) for path in sorted({*self.path.glob("*.log"), *self._tails})]
        return list(merged(files))

    def _lines(self, path: Path) -> list[str]:
        """What is new in a file; of one that was turned over, the rest of the old file and then the new one."""
        tail = self._tails.get(path)
        lines = tail.lines() if tail is not None else []
        try:
            status = path.stat()
        except FileNotFoundError:
            return lines
        if tail is not None and status.st_ino == tail.inode:
            if status.st_size >= os.lseek(tail.fd, 0, os.SEEK_CUR):
                return lines
            os.lseek(tail.fd, 0, os.SEEK_SET)  # it was emptied, as the guardian does with its own
            return lines + tail.lines()
        if tail is not None:
            lines += tail.lines()
            os.close(tail.fd)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        tail = self._tails[path] = _Tail(fd, os.fstat(fd).st_ino)
        return lines + tail.lines()

    def close(self) -> None:
        """Closes the files; may be called twice."""
        for tail in self._tails.values():
            os.close(tail.fd)
        self._tails.clear()
