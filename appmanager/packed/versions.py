"""Versions: whether one is in a range (`>=1,<2`, as Python's packages write it), and which of two is newer. Pure."""

from __future__ import annotations

import re
from functools import total_ordering

_VERSION = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(?P<pre>a|b|c|rc|alpha|beta|pre|preview)[-_.]?(?P<pre_number>[0-9]*))?"
    r"(?:-(?P<post_short>[0-9]+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_number>[0-9]*))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_number>[0-9]*))?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*([^\s,]+?)(\.\*)?\s*")
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LAST = ("z", 0)


@total_ordering
class PackageVersion:
    """A version of a Python package (PEP 440; what stands after `+` says nothing of the order)."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a text that is none."""
        found = _VERSION.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"expected a version such as 1.2.3, got {text!r}")
        self.release = [int(part) for part in found["release"].split(".")]
        self.epoch = int(found["epoch"] or 0)
        letter = (found["pre"] or "").lower()
        post = found["post_short"] or (found["post_number"] or "0" if found["post"] else None)
        self.is_pre = bool(letter or found["dev"])
        self._pre = (_PRE.get(letter, letter), int(found["pre_number"] or 0)) if letter else _LAST
        if not letter and post is None and found["dev"]:
            self._pre = ("", 0)  # a development version comes before the first alpha
        self._post = -1 if post is None else int(post)
        self._dev = int(found["dev_number"] or 0) if found["dev"] else float("inf")

    @property
    def _key(self) -> tuple[object, ...]:
        release = self.release[:]
        while release and release[-1] == 0:
            release.pop()
        return self.epoch, release, self._pre, self._post, self._dev

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackageVersion) and self._key == other._key

    def __lt__(self, other: PackageVersion) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(str(self._key))

    def begins(self, release: list[int]) -> bool:
        """Whether it is one of `release.*`."""
        return (self.release + [0] * len(release))[: len(release)] == release


def in_range(version: str, wanted: str) -> bool:
    """Whether a version is in a range. Raises ValueError for a text that is no version or no range."""
    have = PackageVersion(version)
    return all(_clause(have, clause) for clause in wanted.split(",") if clause.strip())


def _clause(have: PackageVersion, clause: str) -> bool:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        raise ValueError(f"expected a range such as >=1,<2, got {clause.strip()!r}")
    operator, text, star = found.groups()
    want = PackageVersion(text)
    if operator == "~=":
        return have >= want and have.begins(want.release[:-1])
    if operator in ("==", "!="):
        same = have.begins(want.release) if star else have == want
        return same == (operator == "==")
    if operator == "<":  # `<2` doesn't mean 2.0rc1
        return have < want and not (have.is_pre and not want.is_pre and have.begins(want.release))
    return {">=": have >= want, "<=": have <= want, ">": have > want}[operator]


def precedence(version: str) -> tuple[object, ...]:
    """Where a bundle's version (semver.org, checked by the manifest) stands: compare two of these."""
    core, _, pre = version.partition("+")[0].partition("-")
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")) if pre else ()
    return tuple(int(part) for part in core.split(".")), not pre, parts
