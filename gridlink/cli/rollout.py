"""Which sites a command is done at, and when: in waves, and none after a failure where that is to be the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

_GLOB = "*?["


def is_several(pattern: str) -> bool:
    """Whether it may mean several sites: a glob, or names with commas between."""
    return "," in pattern or is_glob(pattern)


def is_glob(pattern: str) -> bool:
    """Whether the sites that are there decide what it means."""
    return any(letter in pattern for letter in _GLOB)


def matching(pattern: str, known: Iterable[str]) -> tuple[str, ...]:
    """The sites that are meant, each once. A plain name is meant also if it isn't known: that it is away is told then.

    Names come as they were written, those of a glob in alphabetical order.
    """
    there = sorted(known)
    found: dict[str, None] = {}
    for part in filter(None, (one.strip() for one in pattern.split(","))):
        names = [name for name in there if fnmatchcase(name, part)] if is_glob(part) else [part]
        found.update(dict.fromkeys(names))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Rollout:
    """`size` sites make a wave; one is done when all of the wave before have ended."""

    sites: tuple[str, ...]
    size: int
    stop_on_failure: bool = False

    def waves(self) -> list[tuple[str, ...]]:
        """All of them, in order."""
        return [self.sites[at : at + self.size] for at in range(0, len(self.sites), self.size)]

    def next(self, ended: Mapping[str, bool]) -> tuple[str, ...]:
        """The sites to begin with, once those in `ended` (True: done, False: failed) have ended; empty: no more."""
        for wave in self.waves():
            begun = [site for site in wave if site in ended]
            if len(begun) < len(wave):
                return tuple(site for site in wave if site not in ended)
            if self.stop_on_failure and not all(ended[site] for site in begun):
                return ()
        return ()

    def untouched(self, ended: Mapping[str, bool]) -> tuple[str, ...]:
        """The sites at which nothing was begun."""
        return tuple(site for site in self.sites if site not in ended)
