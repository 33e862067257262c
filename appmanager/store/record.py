"""The record: every command and its outcome, appended and never changed, each entry chained to the one before.

An entry is a line of JSON whose `hash` is over its other fields, the former entry's hash among them: a line that is
changed, taken out or put in breaks the chain. (Who can write the file can cut whole entries off its end, or write it
anew: compare `head` with one that was noted elsewhere.) What a power cut tore, less than a line at the end, is cut off
at the next append; no line is longer than MAX_LINE_BYTES, so that none that was written looks like that. It is bounded:
see appmanager.store.segments. The chain goes over its files; each id whose entry is in one of them is known.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import msgspec
import orjson

from appmanager.store.disk import Disk
from appmanager.store.segments import MAX_LINE_BYTES, SEGMENT_BYTES, SEGMENTS, Segments, named_in, pieces
from appmanager.store.tree import make_directory
from gridlink.errors import GridlinkError

BEGIN = "0" * 64
REASON_CHARACTERS = 4000
MARK, PUT_ASIDE = "record", "damaged"
"""Kind and outcome of an entry that says that a part of the record was put aside: see appmanager.store.keeping_on."""


class RecordDamaged(GridlinkError):
    """The record isn't what was written. `line` is the first that doesn't fit."""

    code = 422
    fields = ("line",)

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class EntryTooLong(GridlinkError):
    """An entry would be longer than a line of the record may be. Nothing was written."""

    code = 413


@dataclass(frozen=True, slots=True)
class Entry:
    """One command. `at_s`: Unix time by the board's clock, which may be wrong; `number` tells the order."""

    id: str
    kind: str
    module: str
    outcome: str
    reason: str = ""
    who: str = ""  # the operator who signed it, or the name that came with the command
    digests: dict[str, str] = field(default_factory=dict)  # of the bundle before and after: `from`, `to`
    at_s: float = 0.0
    number: int = 0
    before: str = BEGIN
    hash: str = ""
    signed: str = ""  # the public nkey by which it was signed, where that was checked


@dataclass(frozen=True, slots=True)
class Chain:
    """Entries that are as they were written, one after the other. `first` is number 1, or older ones were dropped."""

    first: Entry
    last: Entry


@dataclass(slots=True)
class _Aside:
    """How many full files are missing since they were put aside: each file that becomes full later makes up for one."""

    name: str  # of the file that is appended to
    missing: int = 0
    here: Path | None = None

    def count(self, path: Path, entry: Entry) -> None:
        """The next entry of the chain, and the file that it is in."""
        self.missing_at(path)
        self.missing += _is_mark(entry, self.name)

    def missing_at(self, path: Path) -> int:
        """How many are, as seen from a file that comes next, or from the same one."""
        if self.here not in (None, path):
            self.missing = max(0, self.missing - 1)
        self.here = path
        return self.missing


@dataclass(slots=True)
class _Tail:
    """The file that is appended to: its size, the CRC of that, its last entry, and one that is there already."""

    size_bytes: int = 0
    crc: int = 0
    last: Entry | None = None
    known: Entry | None = None


class Record:
    """The record of one managed directory. Blocks: call it in a thread; `append` one at a time.

    Raises OSError, RecordDamaged, EntryTooLong.
    """

    def __init__(self, disk: Disk, path: Path, segment_bytes: int = SEGMENT_BYTES, segments: int = SEGMENTS) -> None:
        self._disk, self._path = disk, path
        self._segments = Segments(disk, path, segment_bytes, segments)
        self._seen_bytes = self._seen_crc = 0  # the file was whole up to there, and this was the CRC of that

    def append(self, entry: Entry) -> Entry:
        """Adds an entry, durably; returns it with its number and hash.

        One whose id and kind are there already is not added again: a power cut came between it and what follows. A long
        reason is cut.
        """
        make_directory(self._disk, self._path.parent)
        tail = self._mended(entry)
        known = tail.known or self._known(entry)
        if known is not None:
            return known
        last = tail.last or self._last_of_full()
        number, chained = (last.number + 1, last.hash) if last is not None else (1, BEGIN)
        whole = sealed(replace(entry, number=number, before=chained, hash="", reason=_cut(entry.reason)))
        line = spelled(whole)
        if len(line) >= MAX_LINE_BYTES:
            raise EntryTooLong(
                f"{entry.kind} {entry.module}: its entry is {len(line)} bytes long, expected less than "
                f"{MAX_LINE_BYTES}: ask with a shorter id, digest and sender"
            )
        if tail.size_bytes and tail.size_bytes + len(line) > self._segments.segment_bytes:
            self._rotate()
            tail = _Tail()
        with self._disk.append(self._path) as file:
            file.write(line)
            file.fsync()
        self._disk.fsync_dir(self._path.parent)
        self._seen_bytes, self._seen_crc = tail.size_bytes + len(line), zlib.crc32(line, tail.crc)
        return whole

    def find(self, id: str) -> Entry | None:
        """The last entry of a command; None where there is none. Reads the newest file, and one that has that id."""
        return self._found(id, self._path) or next(
            filter(None, (self._found(id, path) for path in self._segments.holders(id))), None
        )

    def entries(self) -> Iterator[Entry]:
        """All of them, the oldest first, up to one that is damaged."""
        with ExitStack() as stack:
            for _, file in self._segments.opened(stack):
                for line in pieces(file):
                    entry = _read(line)
                    if entry is None:
                        return
                    yield entry

    def newest(self, most: int, module: str = "") -> list[Entry]:
        """The last ones, of one module or all, the oldest first. What is damaged is left out: `verify` names it."""
        found: list[Entry] = []
        with ExitStack() as stack:
            for _, file in reversed(self._segments.opened(stack)):
                here = (entry for line in pieces(file) if (entry := _read(line)) and module in ("", entry.module))
                found = [*deque(here, maxlen=most - len(found)), *found]
                if len(found) == most:
                    break
        return found

    def latest(self, modules: Collection[str]) -> dict[str, str]:
        """The id of each module's last command; a module that has none on record is left out."""
        found: dict[str, str] = {}
        wanted = set(modules)
        with ExitStack() as stack:
            for _, file in reversed(self._segments.opened(stack)):
                named = (one for line in pieces(file) if (one := named_in(line)) and one.module in wanted)
                found |= {one.module: one.id for one in named}
                wanted -= found.keys()
                if not wanted:
                    break
        return found

    def verify(self) -> Chain | None:
        """Follows the chain from its beginning; None where there is no entry. Raises RecordDamaged with the line.

        A last line that a power cut tore is no damage: it was not written.
        """
        first: Entry | None = None
        last: Entry | None = None
        aside = _Aside(self._path.name)
        with ExitStack() as stack:
            files = self._segments.opened(stack)
            for path, number, line in _numbered(files):
                entry = _read(line)
                if entry is None and path == self._path and _torn(line):
                    break
                if entry is None or not _follows(entry, last) or sealed(entry).hash != entry.hash:
                    why = "the record was changed here: compare it with a copy"
                    raise RecordDamaged(f"{path}:{number}: {why}", line=number)
                first, last = first or entry, entry
                aside.count(path, entry)
            if first is not None and first.number > 1:
                full = sum(path != self._path for path, _ in files)
                self._check_dropped(files[0][0], first, full, aside.missing_at(self._path))
        return Chain(first, last) if first is not None and last is not None else None

    def marks(self) -> list[Entry]:
        """Those of the file that is appended to which say that a full one was put aside: they are still to be known."""
        read = (_read(line) for line in self._segments.lines(self._path))
        return [one for one in read if one is not None and _is_mark(one, self._path.name)]

    def _check_dropped(self, path: Path, first: Entry, full: int, aside: int) -> None:
        """`aside`: how many of the full ones were put aside, by the record's own entries."""
        if full + aside < self._segments.full_most:
            but = f" (with {aside} that it says were put aside)" if aside else ""
            raise RecordDamaged(
                f"{path}:1: the record begins with entry {first.number}, and only {full} full files{but} come before "
                f"the one that is written: the oldest is dropped where there are {self._segments.full_most}, so "
                "somebody has taken files away: compare it with a copy",
                line=1,
            )

    def _rotate(self) -> None:
        first = _read(next(self._segments.lines(self._path), b""))
        if first is None:
            raise self._damaged(self._path)
        self._segments.rotate(first.number)

    def _last_of_full(self) -> Entry | None:
        """The last entry of the newest full file; None where there is none."""
        full = self._segments.full()
        if not full:
            return None
        last = _read(next(iter(deque(self._segments.lines(full[-1]), maxlen=1)), b""))
        if last is None:
            raise self._damaged(full[-1])
        return last

    def _found(self, id: str, path: Path) -> Entry | None:
        named = orjson.dumps(id)
        read = (_read(line) for line in self._segments.lines(path) if named in line)
        return next(iter(deque((one for one in read if one is not None and one.id == id), maxlen=1)), None)

    def _known(self, entry: Entry) -> Entry | None:
        """The same entry in a full file."""
        found = (self._found(entry.id, path) for path in self._segments.holders(entry.id))
        return next((one for one in found if one is not None and _same(one, entry)), None)

    def _mended(self, entry: Entry) -> _Tail:
        """What there is of the file that is appended to. Cuts off what a power cut tore.

        What was whole at the last append is not decoded again if it is as it was.
        """
        named, torn_bytes, tail = orjson.dumps(entry.id), 0, _Tail()
        as_it_was = not self._seen_bytes
        for line in self._segments.lines(self._path):
            skipped = tail.size_bytes + len(line) < self._seen_bytes and named not in line
            one = None if skipped else _read(line)
            if not skipped and one is None:
                torn_bytes += len(line)
                if torn_bytes >= MAX_LINE_BYTES:
                    raise self._damaged(self._path)
                continue
            if torn_bytes:
                raise self._damaged(self._path)
            tail.size_bytes, tail.crc, tail.last = tail.size_bytes + len(line), zlib.crc32(line, tail.crc), one
            as_it_was = as_it_was or (tail.size_bytes, tail.crc) == (self._seen_bytes, self._seen_crc)
            if one is not None and _same(one, entry):
                tail.known = one
        if not as_it_was:
            self._seen_bytes = self._seen_crc = 0
            return self._mended(entry)
        if torn_bytes:
            self._disk.truncate(self._path, tail.size_bytes)
        return tail

    def _damaged(self, path: Path) -> RecordDamaged:
        return RecordDamaged(f"{path}: an entry in its middle is damaged: put the file aside")


def _numbered(files: Iterable[tuple[Path, BinaryIO]]) -> Iterator[tuple[Path, int, bytes]]:
    """The lines of all files, each with its number in its own."""
    return ((path, number, line) for path, file in files for number, line in enumerate(pieces(file), 1))


def _follows(entry: Entry, last: Entry | None) -> bool:
    """Whether an entry comes after that one; a first one has a number of at least 1, and only 1 has none before it."""
    if last is not None:
        return (entry.number, entry.before) == (last.number + 1, last.hash)
    return entry.number >= 1 and (entry.number == 1) == (entry.before == BEGIN)


def _is_mark(entry: Entry, name: str) -> bool:
    """Whether it says that a full file was put aside. `name`: of the file that is appended to."""
    return (entry.kind, entry.outcome) == (MARK, PUT_ASIDE) and entry.id.startswith(f"{MARK} {name}.")


def _same(one: Entry, other: Entry) -> bool:
    return (one.id, one.kind, one.module) == (other.id, other.kind, other.module)


def spelled(entry: Entry) -> bytes:
    """An entry as it is written."""
    return orjson.dumps(asdict(entry)) + b"\n"


def sealed(entry: Entry) -> Entry:
    """The entry with its hash."""
    fields = {key: value for key, value in asdict(entry).items() if key != "hash"}
    if not entry.signed:
        del fields["signed"]  # entries had none once, and their hashes are as they were
    return Entry(**fields, hash=hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest())


def _torn(body: bytes) -> bool:
    """Whether it is a file's last piece, without an end: one that is longer than any entry isn't that."""
    return not body.endswith(b"\n") and len(body) < MAX_LINE_BYTES


def _cut(reason: str) -> str:
    """A reason as it is kept: not longer than that, and without what UTF-8 can't spell."""
    kept = reason.encode(errors="replace").decode()
    return kept if len(kept) <= REASON_CHARACTERS else f"{kept[: REASON_CHARACTERS - 1]}…"


def _read(body: bytes) -> Entry | None:
    """The entry of a line; None for one that isn't whole."""
    if not body.endswith(b"\n"):
        return None
    try:
        return msgspec.convert(orjson.loads(body), Entry)
    except (orjson.JSONDecodeError, msgspec.ValidationError):
        return None
