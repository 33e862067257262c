"""Another operating system user for a module's own process, as the site file says: {"users": {"gateway": "nobody"}}.

The process is forked or started by root and becomes that user before any of the bundle's code runs. What it writes (its
data, its checkpoint, its log) is that user's; all else it can do no more than read.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gridlink.errors import ModuleInvalid, StartFailed


@dataclass(frozen=True, slots=True)
class User:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.name}:{self.uid}:{self.gid}"

    def give(self, directory: Path, file: Path) -> None:
        """Makes a directory and a file that are the user's, with what is in them. Raises StartFailed."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            for path in (file, directory, *_below(directory)):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)
        except OSError as error:
            raise StartFailed(f"its files can't be given to user {self.name}: {error}") from error


def user_called(name: str) -> User:
    """The user of that name. Raises ModuleInvalid where there is none, or we can't become another."""
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        text = f"site.json has it run as user {name!r}, whom this machine doesn't know: add that user"
        raise ModuleInvalid(text) from error
    if os.geteuid() not in (0, found.pw_uid):
        own = pwd.getpwuid(os.geteuid()).pw_name
        raise ModuleInvalid(f"site.json has it run as user {name!r}, which takes root, and this node runs as {own!r}")
    return User(name, found.pw_uid, found.pw_gid)


def _below(directory: Path) -> Iterator[Path]:
    for place, directories, files in os.walk(directory):
        for name in (*directories, *files):
            yield Path(place) / name
