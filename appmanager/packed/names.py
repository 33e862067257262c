"""The names that files of a bundle may have, and their order: no two that some file system takes for one. Pure."""

from __future__ import annotations

import unicodedata

from appmanager.packed.errors import BundleInvalid

CONTENTS = ".contents.json"  # the list of files, the first entry
MAX_PATH_BYTES, MAX_PART_BYTES, MAX_DEPTH = 1024, 255, 32


def check_path(path: str) -> tuple[str, ...]:
    """The parts of a path. Raises BundleInvalid for one that leaves the bundle or can't be a file everywhere."""
    why = _wrong(path)
    if why:
        raise BundleInvalid(f"{_shown(path)}: {why}: expected names such as voltage_guard/guard.py")
    return tuple(path.split("/"))


def _wrong(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        return "an absolute name"
    if "\\" in path:
        return "a backslash in a name, which is a directory elsewhere"
    if ".." in parts:
        return "a name that leaves the bundle"
    if not all(parts) or "." in parts:
        return "an empty part in a name"
    if any(ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000 for character in path):
        return "a control character in a name"
    if len(path.encode()) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH:
        return "a name that is too long"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return "a name that is too long"
    if unicodedata.normalize("NFC", path) != path:
        return "letters with separate accents in a name, which some file systems join"
    return ""


def order(path: str) -> tuple[str, ...]:
    """Where a path stands among others: what differs in case alone comes together, part by part."""
    return tuple(part.casefold() for part in path.split("/"))


class InOrder:
    """Takes the paths of a bundle one after the other. Two that would clash are neighbours, so one is kept."""

    def __init__(self) -> None:
        self._last: tuple[str, ...] = ()

    def take(self, path: str) -> tuple[str, ...]:
        """The path's parts. Raises BundleInvalid: bad, out of order, or clashing with the one before."""
        parts = check_path(path)
        last, now = [part.casefold() for part in self._last], [part.casefold() for part in parts]
        for before, here in zip(self._last, parts, strict=False):
            if before.casefold() != here.casefold():
                break
            if before != here:
                raise BundleInvalid(f"{'/'.join(self._last)} and {path}: the names differ in case alone: rename one")
        if self._last and now[: len(last)] == last:
            what = "is there twice" if now == last else "is a file and a directory"
            raise BundleInvalid(f"{'/'.join(self._last)} {what}")
        if now < last:
            raise BundleInvalid(f"{path}: it is not in its place: make the file with `gridlink pack`")
        self._last = parts
        return parts


def _shown(path: str) -> str:
    return repr(path if len(path) <= 80 else path[:80] + "…")
