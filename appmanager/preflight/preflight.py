"""Starts the process that tries a bundle, and hears what it found. See `__main__`."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import orjson
from msgspec import Struct

from gridlink.document import Document
from gridlink.errors import ModuleInvalid, StartFailed, from_wire

WITHIN_S = 30.0
MEMORY_MIB = 256  # for an import, if the manifest says nothing of it
_MOST_BYTES = 4 * 1024 * 1024
_MIB = 1024 * 1024


class Tried(Struct, frozen=True):
    """A bundle's contract, by `role storage`, `topic measurement`; how long its start may take: 0 if it doesn't say."""

    documents: dict[str, Document]
    start_within_s: float


def preflight(
    directory: Path, config: Path | None = None, *, within_s: float = WITHIN_S, memory_mib: float | None = None
) -> Tried:
    """What importing the bundle in `directory` tells. Blocks: call it in a thread.

    `config`: the file to check against the module's Config, in place of its own. Raises what importing it raised
    (ModuleInvalid, StartFailed, ConfigInvalid, ManifestInvalid), and StartFailed where it took too long or too much.
    """
    import subprocess  # noqa: PLC0415 - for this alone
    import sys  # noqa: PLC0415

    most_mib = max(memory_mib or 0.0, MEMORY_MIB)
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "appmanager.preflight", str(write_fd), str(directory), str(config or "")]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(write_fd,),
            start_new_session=True,  # what it starts ends with it
            env=_environment(),
        )
    except OSError as error:
        os.close(read_fd)
        os.close(write_fd)
        raise StartFailed(f"the process that tries {directory.name} can't be started: {error}") from error
    os.close(write_fd)
    try:
        _limit(process.pid, most_mib, within_s)
        answer = _read(read_fd, within_s)
    finally:
        os.close(read_fd)
        _end(process.pid)
        status = process.wait()
    return _tried(answer, directory, status, within_s, most_mib)


def _tried(answer: bytes | None, directory: Path, status: int, within_s: float, most_mib: float) -> Tried:
    name = directory.name
    if answer is None:
        raise StartFailed(f"{name}: importing it takes longer than {within_s:g} s: do less at import")
    try:
        found: Mapping[str, object] = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        raise StartFailed(
            f"{name}: the process that imported it died ({how}): it may need more than {most_mib:g} MiB "
            "(resources.memory_mib), or a native library that crashes"
        ) from error
    if "error" in found:
        raise from_wire(str(found["error"]), str(found["message"]), {})
    documents, start_within_s = found.get("documents"), found.get("start_within_s")
    if not isinstance(documents, dict) or not isinstance(start_within_s, float):
        raise ModuleInvalid(f"{name}: its import wrote into the pipe of the process that tried it")
    return Tried(documents, start_within_s)


def _environment() -> dict[str, str]:
    """Nothing of ours that a bundle has no business with: where the site is, and its credentials."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("NATS_", "GRIDLINK_"))}


def _limit(pid: int, most_mib: float, within_s: float) -> None:
    """Sets its limits from outside: private memory, processor time, size of files, core dumps."""
    from resource import RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, prlimit  # noqa: PLC0415

    memory, seconds, file = int(most_mib * _MIB), int(within_s) + 1, 16 * _MIB
    for limit, value in ((RLIMIT_DATA, memory), (RLIMIT_CPU, seconds), (RLIMIT_FSIZE, file), (RLIMIT_CORE, 0)):
        prlimit(pid, limit, (value, value))


def _read(fd: int, within_s: float) -> bytes | None:
    """What it writes, up to its end; None where that doesn't come in time."""
    import select  # noqa: PLC0415 - asyncio has loaded it
    import time  # noqa: PLC0415

    found, deadline_s = bytearray(), time.monotonic() + within_s
    while len(found) < _MOST_BYTES:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline_s - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        found += chunk
    return bytes(found)


def _end(pid: int) -> None:
    """Ends the process and all that it has started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
