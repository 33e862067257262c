"""All meters against all limits: who is outside of what, and what must be reported.

Pure; the number of meters is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from voltage_guard.api import Limit
from voltage_guard.hysteresis import Limits, Report, Side, judge

MAX_METERS = 1000
"""More than any substation has; a sender that invents names can't fill the memory."""


class TooManyMeters(ValueError):
    """A measurement of a meter past the bound on their number."""


class OpenProblem(Struct, frozen=True):
    """A meter that is outside of a pair of limits since a time, with its present value."""

    meter: str
    limits: Limit
    side: Side
    limit_pu: float
    value_pu: float
    since_s: float


class Watch:
    """Follows each meter through each pair of limits."""

    def __init__(
        self, limits: Sequence[Limits], meters: Iterable[str] = (), problems: Iterable[OpenProblem] = ()
    ) -> None:
        """Watch these limits, the most severe first: reports of one measurement come in their order.

        `meters` and `problems`: those that are known already. A problem of limits that there aren't is none.
        """
        self._limits = tuple(limits)
        self._meters = set(meters)
        names = {each.name for each in limits}
        self._open = {(each.meter, each.limits): each for each in problems if each.limits in names}

    @property
    def meters(self) -> int:
        """How many meters have been seen."""
        return len(self._meters)

    @property
    def seen(self) -> frozenset[str]:
        """The meters that have been seen."""
        return frozenset(self._meters)

    @property
    def problems(self) -> tuple[OpenProblem, ...]:
        """Everything that is outside now, in the order in which it got there."""
        return tuple(self._open.values())

    def measured(self, meter: str, value_pu: float, timestamp_s: float) -> list[Report]:
        """Take one measurement; returns what must be reported. Raises TooManyMeters."""
        if meter not in self._meters:
            self._admit(meter)
        reports = []
        for limits in self._limits:
            problem = self._open.get((meter, limits.name))
            side, report = judge(limits, problem.side if problem else Side.WITHIN, value_pu)
            if report is not None:
                reports.append(report)
            self._keep(meter, limits, side, value_pu, timestamp_s if report or not problem else problem.since_s)
        return reports

    def relimited(self, limits: Sequence[Limits]) -> Watch:
        """A watch of other limits; what is still outside keeps its state, the next measurements settle the
        rest.
        """
        return Watch(limits, self._meters, self.problems)

    def _admit(self, meter: str) -> None:
        if len(self._meters) >= MAX_METERS:
            raise TooManyMeters(f"expected up to {MAX_METERS} meters, came one more, {meter!r}; look who publishes it")
        self._meters.add(meter)

    def _keep(self, meter: str, limits: Limits, side: Side, value_pu: float, since_s: float) -> None:
        if side is Side.WITHIN:
            self._open.pop((meter, limits.name), None)
            return
        limit_pu = limits.upper_pu if side is Side.OVER else limits.lower_pu
        self._open[meter, limits.name] = OpenProblem(meter, limits.name, side, limit_pu, value_pu, since_s)
