"""What a power cut leaves of the files that a traced process wrote: replays an strace log up to any moment.

The model is harsher than a journalling file system. What was written to a file since its last fsync is there,
missing or garbage, sector by sector; a file made or removed since its folder was synced is there or not.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 4096
TRACED = "write,pwrite64,fsync,fdatasync,ftruncate,openat,unlink"

_WRITE = re.compile(r'^pwrite64\(\d+<([^>]*)>, "([^"]*)", \d+, (\d+)')
_TRUNCATE = re.compile(r"^ftruncate\(\d+<([^>]*)>, (\d+)")
_SYNC = re.compile(r"^(?:fsync|fdatasync)\(\d+<([^>]*)>")
_OPEN = re.compile(r'^openat\([^"]*"([^"]*)", [^)]*O_CREAT')
_UNLINK = re.compile(r'^unlink\("([^"]*)"\)')
_PRINTED = re.compile(r'^write\(1<[^>]*>, "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Step:
    """One system call that matters: create, write, truncate, unlink, sync, or printed."""

    kind: str
    path: str = ""
    offset: int = 0
    data: bytes = b""


def steps(trace: Path, folder: Path) -> list[Step]:
    """The steps of an strace log (-f -y -xx) in `folder`, and what was printed, in order."""
    found = []
    for step in _parse(trace):
        path = Path(step.path)
        if step.kind == "printed" or (folder in (path, path.parent) and path.suffix != ".db-shm"):
            found.append(step)
    return found


def _parse(trace: Path) -> Iterator[Step]:
    unfinished: dict[str, str] = {}
    for line in trace.read_text("ascii", "replace").splitlines():
        thread, _, call = line.partition(" ")
        call = call.lstrip()
        if call.startswith("<... "):
            started = unfinished.pop(thread, "")
            if _SYNC.match(started) and call.endswith("= 0"):
                yield Step("sync", _text(_SYNC.match(started)))
            continue
        if call.endswith("<unfinished ...>"):
            unfinished[thread] = call
            if _SYNC.match(call):
                continue  # durable only when it is done
        yield from _step(call)


def _step(call: str) -> Iterator[Step]:
    if found := _WRITE.match(call):
        yield Step("write", _text(found), int(found[3]), _bytes(found[2]))
    elif found := _TRUNCATE.match(call):
        yield Step("truncate", _text(found), int(found[2]))
    elif found := _SYNC.match(call):
        yield Step("sync", _text(found))
    elif found := _OPEN.match(call):
        yield Step("create", _text(found))
    elif found := _UNLINK.match(call):
        yield Step("unlink", _text(found))
    elif found := _PRINTED.match(call):
        yield Step("printed", data=_bytes(found[1]))


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _text(found: "re.Match[str] | None") -> str:
    if found is None:
        raise ValueError("no path in this call")
    return _bytes(found[1]).decode() if found[1].startswith("\\x") else found[1]


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)
    named: bool = False  # its name is durable
    removed: bool = False


class Disk:
    """The disk while the steps go by; `after_cut` is what is found after a power cut now."""

    def __init__(self) -> None:
        """An empty folder."""
        self._files: dict[str, list[_File]] = {}
        self.printed: list[bytes] = []

    def apply(self, step: Step) -> None:
        """Go on by one step."""
        if step.kind == "printed":
            self.printed.append(step.data)
        elif step.kind == "create":
            versions = self._files.setdefault(step.path, [])
            if not versions or versions[-1].removed:
                versions.append(_File())
        elif step.kind == "unlink":
            self._files[step.path][-1].removed = True
        elif step.kind == "sync":
            self._sync(step.path)
        else:
            self._files[step.path][-1].pending.append(step)

    def _sync(self, path: str) -> None:
        if path not in self._files:  # the folder
            for versions in self._files.values():
                versions[:] = [file for file in versions if not file.removed]
                for file in versions:
                    file.named = True
            return
        file = self._files[path][-1]
        for step in file.pending:
            _write(file.durable, step)
        file.pending.clear()

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """Contents by file name, with what was not synced lost, kept or garbled at random."""
        left = {}
        for path, versions in self._files.items():
            for file in versions:
                if (file.named and not file.removed) or chance.random() < 0.5:
                    left[Path(path).name] = _garbled(file, chance)
        return left


def _write(content: bytearray, step: Step) -> None:
    if step.kind == "truncate":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


def _garbled(file: _File, chance: random.Random) -> bytes:
    content = bytearray(file.durable)
    kept = chance.choice((0.0, 0.5, 0.9, 1.0))
    for step in file.pending:
        if step.kind == "truncate":
            if chance.random() < kept:
                _write(content, step)
            continue
        for sector in range(step.offset // SECTOR_BYTES, (step.offset + len(step.data) - 1) // SECTOR_BYTES + 1):
            start = max(step.offset, sector * SECTOR_BYTES)
            end = min(step.offset + len(step.data), (sector + 1) * SECTOR_BYTES)
            data = step.data[start - step.offset : end - step.offset]
            if chance.random() < kept:
                _write(content, Step("write", offset=start, data=data))
            elif chance.random() < 0.3:
                _write(content, Step("write", offset=sector * SECTOR_BYTES, data=chance.randbytes(SECTOR_BYTES)))
    return bytes(content)
