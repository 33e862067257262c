"""The problems that topic voltage_problem has reported and not yet taken back. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct


class Problem(Struct, frozen=True):
    """A meter outside of a limit ("operating" or "en50160"), since when, with the value that was reported."""

    meter: str
    limit: str
    value_pu: float
    since_s: float


class OpenProblems:
    """Keeps the open problems; the same report twice changes nothing, so lost and repeated events heal."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Problem] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Problem]:
        return iter(tuple(self._open.values()))

    def reported(self, problem: Problem) -> bool:
        """Take a report; returns whether it is new."""
        key = (problem.meter, problem.limit)
        new = key not in self._open
        self._open.setdefault(key, problem)
        return new

    def ended(self, meter: str, limit: str) -> None:
        """Take back a report; one that is not open is no error."""
        self._open.pop((meter, limit), None)

    def replace(self, problems: list[Problem]) -> None:
        """Take the guard's own list as the truth, keeping since when those already known are open."""
        self._open = {(each.meter, each.limit): self._open.get((each.meter, each.limit), each) for each in problems}

    @property
    def since_s(self) -> float | None:
        """When the oldest open problem was reported; None when there is none."""
        return min((problem.since_s for problem in self._open.values()), default=None)
