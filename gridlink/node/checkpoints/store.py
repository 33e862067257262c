"""The checkpoints of a managed directory: a file each in `.gridlink/states/`, replaced whole."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from gridlink.config import remove_temporaries, write_atomically
from gridlink.errors import StateInvalid
from gridlink.node.checkpoints.form import Checkpoint, unpack

REFUSED = ".refused"


class States:
    """Reads and writes checkpoints by the modules' names. Reading and writing block: call `write` in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writing = Lock()  # one whose waiter was cancelled still writes: the next comes after it

    def read(self, module: str) -> Checkpoint | None:
        """The module's checkpoint; None where there is none. Raises StateInvalid for one that is damaged."""
        path = self._path(module)
        try:
            return unpack(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateInvalid(f"{path}: can't be read: {error}") from error

    def tidy(self, module: str) -> None:
        """Removes what a killed process has left of writing one: up to a MiB each time. Nobody may be writing it now.

        Raises OSError.
        """
        remove_temporaries(self._path(module))

    def write(self, module: str, content: bytes) -> None:
        """Replaces the module's checkpoint by a packed one. Raises OSError: the disk is full, and the old one stays."""
        with self._writing:
            self._directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(module), content)

    def refuse(self, module: str) -> Path:
        """Puts a checkpoint aside that the module can't go on from, for whoever looks into it; returns where it is."""
        path = self._path(module)
        aside = path.with_name(path.name + REFUSED)
        path.replace(aside)
        return aside

    def forget(self, module: str) -> None:
        """Removes the module's checkpoint: it is uninstalled."""
        self._path(module).unlink(missing_ok=True)

    def _path(self, module: str) -> Path:
        return self._directory / module
