"""The configurations that modules took last: a file each in `.gridlink/accepted/`, for a start whose own won't do."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("gridlink.node")


class Accepted:
    """Reads and writes them by the modules' names.

    They are replaced whole, but not waited for until they are on the disk: that would hold the node up, and a copy that
    a power cut has torn is no worse than none. It is checked like any other file before it is used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, module: str) -> Path:
        """Where the module's is."""
        return self._directory / f"{module}.json"

    def read(self, module: str) -> bytes | None:
        """What the module took last; None where nothing is known."""
        try:
            return self.path(module).read_bytes()
        except OSError:
            return None

    def keep(self, module: str, content: bytes) -> None:
        """Remembers what the module took. What is the same is not written again; a disk that refuses is told."""
        if self.read(module) == content:
            return
        path = self.path(module)
        beside = path.with_name(f".{path.name}.new")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content)
            beside.replace(path)
        except OSError as error:
            log.warning("%s: what it took for its configuration can't be kept: %s", module, error)
            with suppress(OSError):
                beside.unlink(missing_ok=True)
