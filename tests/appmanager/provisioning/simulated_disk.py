"""A disk whose power can fail at any operation, harsher than a journalling file system.

What was written to a file since its last fsync is there, missing, or garbage, sector by sector. A name that was made or
removed since its directory was synced is there or not, each by itself, in any order; a rename has happened or has not,
and is durable when both its directories were synced.
"""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from appmanager.store.disk import Kind

SECTOR_BYTES = 512


@dataclass(eq=False)
class File:
    """Content as the processes see it, as it is durable, and the writes between the two."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    mode: int = 0o644


@dataclass(eq=False)
class Directory:
    """Names as the processes see them, and as they are durable."""

    seen: dict[str, File | Directory] = field(default_factory=dict)
    durable: dict[str, File | Directory] = field(default_factory=dict)


@dataclass(eq=False)
class Change:
    """What was done to names and is not durable yet: some taken away, some added."""

    removes: list[tuple[Directory, str]]
    adds: list[tuple[Directory, str, File | Directory]]
    unsynced: list[Directory]

    def apply(self) -> None:
        """Makes it durable."""
        for directory, name in self.removes:
            directory.durable.pop(name, None)
        for directory, name, node in self.adds:
            directory.durable[name] = node

    def touches(self) -> set[tuple[int, str]]:
        """The names that it is about."""
        return {(id(d), n) for d, n in self.removes} | {(id(d), n) for d, n, _ in self.adds}


Left = dict[tuple[int, str], File | Directory | None]


class SimulatedDisk:
    """See `Disk`. `before`: called before each operation that changes something, with its name."""

    def __init__(self) -> None:
        self.root = Directory()
        self.changes: list[Change] = []
        self.before: Callable[[str], None] = lambda operation: None

    # What Disk asks for.

    def open(self, path: Path) -> BinaryIO:
        return io.BytesIO(bytes(self._file(path).seen))

    def create(self, path: Path, mode: int = 0o644) -> Writing:
        self.before(f"create {path}")
        parent = self._directory(path.parent)
        if path.name in parent.seen:
            raise _error(errno.EEXIST, path)
        return self._new_file(parent, path.name, mode)

    def append(self, path: Path) -> Writing:
        parent = self._directory(path.parent)
        found = parent.seen.get(path.name)
        if isinstance(found, File):
            return Writing(self, found)
        self.before(f"create {path}")
        return self._new_file(parent, path.name, 0o644)

    def truncate(self, path: Path, size_bytes: int) -> None:
        self.before(f"truncate {path}")
        file = self._file(path)
        del file.seen[size_bytes:]
        file.durable, file.pending = bytes(file.seen), []

    def rename(self, source: Path, target: Path) -> None:
        self.before(f"rename {source} {target}")
        here, there = self._directory(source.parent), self._directory(target.parent)
        node = here.seen.get(source.name)
        if node is None:
            raise _error(errno.ENOENT, source)
        old = there.seen.get(target.name)
        if isinstance(old, Directory) and old.seen:
            raise _error(errno.ENOTEMPTY, target)
        del here.seen[source.name]
        there.seen[target.name] = node
        unsynced = [here] if here is there else [here, there]
        self.changes.append(Change([(here, source.name)], [(there, target.name, node)], unsynced))

    def unlink(self, path: Path) -> None:
        self.before(f"unlink {path}")
        self._file(path)
        self._remove(path)

    def mkdir(self, path: Path) -> None:
        self.before(f"mkdir {path}")
        parent = self._directory(path.parent)
        if path.name in parent.seen:
            raise _error(errno.EEXIST, path)
        made = Directory()
        parent.seen[path.name] = made
        self.changes.append(Change([], [(parent, path.name, made)], [parent]))

    def rmdir(self, path: Path) -> None:
        self.before(f"rmdir {path}")
        if self._directory(path).seen:
            raise _error(errno.ENOTEMPTY, path)
        self._remove(path)

    def fsync_dir(self, path: Path) -> None:
        self.before(f"fsync_dir {path}")
        synced = self._directory(path)
        for change in self.changes:
            change.unsynced = [directory for directory in change.unsynced if directory is not synced]
        due: set[tuple[int, str]] = set()
        left = []
        for change in reversed(self.changes):  # what came before on the same name is durable too
            if not change.unsynced or change.touches() & due:
                due |= change.touches()
                change.unsynced = []
        for change in self.changes:
            if change.unsynced:
                left.append(change)
            else:
                change.apply()
        self.changes = left

    def names(self, path: Path) -> list[str]:
        found = self._find(path)
        return sorted(found.seen) if isinstance(found, Directory) else []

    def kind(self, path: Path) -> Kind:
        found = self._find(path)
        return "directory" if isinstance(found, Directory) else "file" if found is not None else ""

    # What tests ask for.

    def after_cut(self, chance: random.Random) -> SimulatedDisk:
        """Another disk: what is found when the power comes back."""
        kept = chance.choice((0.0, 0.5, 1.0))
        left: Left = {}
        for change in self.changes:
            if chance.random() < kept:
                left |= {(id(d), n): None for d, n in change.removes} | {(id(d), n): x for d, n, x in change.adds}
        found = SimulatedDisk()
        found.root = self._survives(self.root, left, chance)
        return found

    def tree(self, path: Path) -> dict[str, bytes]:
        """All files below a directory."""
        found = self._find(path)
        return {} if not isinstance(found, Directory) else dict(_files(found, ""))

    def put(self, path: Path, body: bytes) -> None:
        """A file that has always been there."""
        here = self.root
        for part in path.parent.parts[1:]:
            there = here.seen.setdefault(part, Directory())
            here.durable[part] = there
            assert isinstance(there, Directory)
            here = there
        here.seen[path.name] = here.durable[path.name] = File(bytearray(body), body)

    def _survives(
        self, directory: Directory, left: dict[tuple[int, str], File | Directory | None], chance: random.Random
    ) -> Directory:
        names = dict(directory.durable)
        for (owner, name), node in left.items():
            if owner == id(directory):
                if node is None:
                    names.pop(name, None)
                else:
                    names[name] = node
        found = Directory()
        for name, node in names.items():
            survivor: File | Directory
            if isinstance(node, Directory):
                survivor = self._survives(node, left, chance)
            else:
                body = _garbled(node, chance)
                survivor = File(bytearray(body), body, [], node.mode)
            found.seen[name] = found.durable[name] = survivor
        return found

    def _new_file(self, parent: Directory, name: str, mode: int) -> Writing:
        file = File(mode=mode)
        parent.seen[name] = file
        self.changes.append(Change([], [(parent, name, file)], [parent]))
        return Writing(self, file)

    def _remove(self, path: Path) -> None:
        parent = self._directory(path.parent)
        del parent.seen[path.name]
        self.changes.append(Change([(parent, path.name)], [], [parent]))

    def _find(self, path: Path) -> File | Directory | None:
        node: File | Directory | None = self.root
        for part in path.parts[1:]:
            if not isinstance(node, Directory):
                return None
            node = node.seen.get(part)
        return node

    def _directory(self, path: Path) -> Directory:
        found = self._find(path)
        if not isinstance(found, Directory):
            raise _error(errno.ENOENT if found is None else errno.ENOTDIR, path)
        return found

    def _file(self, path: Path) -> File:
        found = self._find(path)
        if not isinstance(found, File):
            raise _error(errno.ENOENT if found is None else errno.EISDIR, path)
        return found


class Writing:
    """A file that is being written."""

    def __init__(self, disk: SimulatedDisk, file: File) -> None:
        self._disk, self._file = disk, file

    def write(self, body: bytes) -> None:
        self._disk.before("write")
        self._file.pending.append((len(self._file.seen), bytes(body)))
        self._file.seen += body

    def fsync(self) -> None:
        self._disk.before("fsync")
        self._file.durable, self._file.pending = bytes(self._file.seen), []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: closing makes nothing durable."""


def _garbled(file: File, chance: random.Random) -> bytes:
    content = bytearray(file.durable)
    kept = chance.choice((0.0, 0.5, 1.0))
    for offset, data in file.pending:
        for start in range(0, len(data), SECTOR_BYTES):
            sector = data[start : start + SECTOR_BYTES]
            if chance.random() < kept:
                body = sector
            elif chance.random() < 0.3:
                body = chance.randbytes(len(sector))
            elif chance.random() < 0.3:
                body = sector[: chance.randrange(len(sector) + 1)]
            else:
                continue
            content.extend(bytes(max(0, offset + start - len(content))))
            content[offset + start : offset + start + len(body)] = body
    return bytes(content)


def _files(directory: Directory, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for name, node in directory.seen.items():
        if isinstance(node, Directory):
            found += _files(node, f"{prefix}{name}/")
        else:
            found.append((prefix + name, bytes(node.seen)))
    return found


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
