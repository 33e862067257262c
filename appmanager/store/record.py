"""The record: every command and its outcome, appended and never changed, each entry chained to the one before.

An entry is a line of JSON whose `hash` is over its other fields, the former entry's hash among them: a line that is
changed, taken out or put in breaks the chain. (Who can write the file can cut whole entries off its end, or write it
anew: compare `head` with one that was noted elsewhere.) What a power cut tore, less than a line at the end, is cut off
at the next append; no line is longer than MAX_LINE_BYTES, so that none that was written looks like that.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec
import orjson

from appmanager.store.disk import Disk
from appmanager.store.tree import make_directory
from gridlink.errors import GridlinkError

BEGIN = "0" * 64
MAX_LINE_BYTES = 64 * 1024
REASON_CHARACTERS = 4000


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


class Record:
    """The record of one managed directory. Blocks: call it in a thread. Raises OSError, RecordDamaged, EntryTooLong."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._path = disk, path
        self._seen_bytes = self._seen_crc = 0  # the file was whole up to there, and this was the CRC of that

    def append(self, entry: Entry) -> Entry:
        """Adds an entry, durably; returns it with its number and hash.

        One whose id and kind are there already is not added again: a power cut came between it and what follows. A long
        reason is cut.
        """
        size_bytes, crc, last, known = self._mended(entry)
        if known is not None:
            return known
        number, chained = (last.number + 1, last.hash) if last is not None else (1, BEGIN)
        whole = sealed(replace(entry, number=number, before=chained, hash="", reason=_cut(entry.reason)))
        line = spelled(whole)
        if len(line) >= MAX_LINE_BYTES:
            raise EntryTooLong(
                f"{entry.kind} {entry.module}: its entry is {len(line)} bytes long, expected less than "
                f"{MAX_LINE_BYTES}: ask with a shorter id, digest and sender"
            )
        with self._disk.append(self._path) as file:
            file.write(line)
            file.fsync()
        self._disk.fsync_dir(self._path.parent)
        self._seen_bytes, self._seen_crc = size_bytes + len(line), zlib.crc32(line, crc)
        return whole

    def find(self, id: str) -> Entry | None:
        """The last entry of a command; None where there is none. Reads the file, a line at a time."""
        named, found = orjson.dumps(id), None
        for body in self._bodies():
            entry = _read(body) if named in body else None
            if entry is not None and entry.id == id:
                found = entry
        return found

    def entries(self) -> Iterator[Entry]:
        """All of them, the oldest first, up to one that is damaged."""
        for _, entry in self._lines():
            if entry is None:
                return
            yield entry

    def verify(self) -> Entry | None:
        """Follows the chain from its beginning; returns the last entry. Raises RecordDamaged with the line.

        A last line that a power cut tore is no damage: it was not written.
        """
        last, number = None, 0
        for number, (body, entry) in enumerate(self._lines(), 1):
            chained = last.hash if last is not None else BEGIN
            if entry is None and _torn(body):
                return last
            if entry is None or entry.number != number or entry.before != chained or sealed(entry).hash != entry.hash:
                raise RecordDamaged(
                    f"{self._path}:{number}: the record was changed here: compare it with a copy", line=number
                )
            last = entry
        return last

    def _lines(self) -> Iterator[tuple[bytes, Entry | None]]:
        return ((body, _read(body)) for body in self._bodies())

    def _bodies(self) -> Iterator[bytes]:
        if not self._disk.kind(self._path):
            return
        with self._disk.open(self._path) as file:
            while body := file.readline(MAX_LINE_BYTES):
                yield body

    def _mended(self, entry: Entry) -> tuple[int, int, Entry | None, Entry | None]:
        """The size, its CRC, the last entry, and the one that is to be added where it is there already.

        Cuts off what a power cut tore. What was whole at the last append is not decoded again if it is as it was.
        """
        make_directory(self._disk, self._path.parent)
        named, size_bytes, crc, torn_bytes = orjson.dumps(entry.id), 0, 0, 0
        last: Entry | None = None
        known: Entry | None = None
        as_it_was = not self._seen_bytes
        for body in self._bodies():
            skipped = size_bytes + len(body) < self._seen_bytes and named not in body
            one = None if skipped else _read(body)
            if not skipped and one is None:
                torn_bytes += len(body)
                if torn_bytes >= MAX_LINE_BYTES:
                    raise self._damaged()
                continue
            if torn_bytes:
                raise self._damaged()
            size_bytes, crc, last = size_bytes + len(body), zlib.crc32(body, crc), one
            as_it_was = as_it_was or (size_bytes, crc) == (self._seen_bytes, self._seen_crc)
            if one is not None and (one.id, one.kind, one.module) == (entry.id, entry.kind, entry.module):
                known = one
        if not as_it_was:
            self._seen_bytes = self._seen_crc = 0
            return self._mended(entry)
        if torn_bytes:
            self._disk.truncate(self._path, size_bytes)
        return size_bytes, crc, last, known

    def _damaged(self) -> RecordDamaged:
        return RecordDamaged(f"{self._path}: an entry in its middle is damaged: put the file aside")


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
