"""The state of the grid, reduced from the site's events; pure: time comes with the calls; bounded in size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

from dashboard_interface.api import (
    Extreme,
    Grid,
    GuardedProblem,
    Kind,
    Meter,
    OpenProblem,
    Power,
    ProblemChange,
    Tap,
    TapChanged,
    TapState,
    Voltage,
    VoltageProblem,
    VoltageSummary,
)
from dashboard_interface.band import VoltageBand

MAX_METERS = 1000
MAX_PROBLEMS = 2 * MAX_METERS


@dataclass(slots=True)
class _Seen:
    voltage_pu: float | None = None
    voltage_s: float = 0.0
    active_kw: float | None = None
    reactive_kvar: float | None = None
    power_s: float = 0.0


class GridView:
    """What is known of the grid. Events are taken in their order of arrival: site time may be set back.

    `ignored` counts events of meters beyond MAX_METERS and values that are no finite number.
    """

    def __init__(self, stale_after_s: float) -> None:
        self.band = VoltageBand()
        self.tap: Tap | None = None
        self.ignored = 0
        self.stale_after_s = stale_after_s
        self._meters: dict[str, _Seen] = {}
        self._problems: dict[tuple[str, str], OpenProblem] = {}
        self._newest_s: float | None = None

    def voltage(self, event: Voltage) -> None:
        """Takes a measured voltage."""
        seen = self._seen(event.meter, event.value_pu, event.timestamp_s)
        if seen is not None:
            seen.voltage_pu, seen.voltage_s = event.value_pu, event.timestamp_s
            self._newest_s = event.timestamp_s
            self.band.add(event.value_pu, event.timestamp_s)

    def power(self, event: Power) -> None:
        """Takes a measured power."""
        seen = self._seen(event.meter, event.active_kw, event.reactive_kvar, event.timestamp_s)
        if seen is not None:
            seen.active_kw, seen.reactive_kvar = event.active_kw, event.reactive_kvar
            seen.power_s = event.timestamp_s

    def crossed(self, kind: Kind, event: VoltageProblem) -> ProblemChange | None:
        """Opens a problem, or updates the open one of that meter and limit; None where nothing changed."""
        key = (event.meter, event.limit)
        before = self._problems.get(key)
        if before is None and len(self._problems) >= MAX_PROBLEMS:
            self.ignored += 1
            return None
        since_s = before.since_s if before is not None and before.kind == kind else event.timestamp_s
        after = OpenProblem(kind, event.meter, event.limit, event.limit_pu, event.value_pu, since_s)
        self._problems[key] = after
        if after == before:
            return None
        return ProblemChange("opened" if before is None else "changed", after)

    def normal(self, event: VoltageProblem) -> ProblemChange | None:
        """Closes the problem of that meter and limit; None where none is open."""
        before = self._problems.pop((event.meter, event.limit), None)
        return None if before is None else ProblemChange("closed", before)

    def guarded(self, problems: Iterable[GuardedProblem]) -> list[ProblemChange]:
        """Takes the guard's own list, as at the start; what to tell of it."""
        listed = list(problems)
        named = {(each.meter, each.limit) for each in listed}
        changes = [ProblemChange("closed", self._problems.pop(key)) for key in set(self._problems) - named]
        for each in listed:
            kind: Kind = "overVoltage" if each.side == "over" else "underVoltage"
            since = VoltageProblem(each.meter, each.value_pu, each.limit_pu, each.limit, each.since_s)
            change = self.crossed(kind, since)
            if change is not None:
                changes.append(change)
        return changes

    def stepped(self, event: TapChanged) -> None:
        """Takes a step of the tap changer."""
        self.tap = Tap(event.position, event.operations, event.timestamp_s)

    def asked(self, state: TapState, now_s: float) -> TapChanged | None:
        """Takes the controller's own answer, as at the start; what to tell where that is news, else None."""
        known = self.tap
        if known is not None and (known.position, known.operations) == (state.position, state.operations):
            return None
        previous = state.position if known is None else known.position
        news = TapChanged(state.position, previous, state.operations, now_s)
        self.stepped(news)
        return news

    def age_s(self, now_s: float) -> float | None:
        """Site seconds since the newest voltage's time stamp; None before the first."""
        return None if self._newest_s is None else max(0.0, now_s - self._newest_s)

    def read(self, now_s: float) -> Grid:
        """The whole state at site time `now_s`."""
        lowest, highest = self._extremes(now_s)
        meters = {name: self._meter(seen, now_s) for name, seen in self._meters.items()}
        return Grid(now_s, meters, lowest, highest, self.tap, list(self._problems.values()))

    def summary(self, now_s: float) -> VoltageSummary:
        """The present voltages alone, for the event stream."""
        lowest, highest = self._extremes(now_s)
        return VoltageSummary(now_s, lowest, highest, dict(self._present(now_s)))

    def _seen(self, meter: str, *numbers: float) -> _Seen | None:
        seen = self._meters.get(meter)
        if not all(map(isfinite, numbers)) or (seen is None and len(self._meters) >= MAX_METERS):
            self.ignored += 1
            return None
        if seen is None:
            seen = self._meters[meter] = _Seen()
        return seen

    def _meter(self, seen: _Seen, now_s: float) -> Meter:
        timestamp_s = max(seen.voltage_s, seen.power_s)
        stale = seen.voltage_pu is None or self._is_stale(seen, now_s)
        return Meter(seen.voltage_pu, seen.active_kw, seen.reactive_kvar, timestamp_s, stale)

    def _is_stale(self, seen: _Seen, now_s: float) -> bool:
        return now_s - seen.voltage_s > self.stale_after_s

    def _present(self, now_s: float) -> Iterator[tuple[str, float]]:
        for name, seen in self._meters.items():
            if seen.voltage_pu is not None and not self._is_stale(seen, now_s):
                yield name, seen.voltage_pu

    def _extremes(self, now_s: float) -> tuple[Extreme | None, Extreme | None]:
        present = [Extreme(name, value) for name, value in self._present(now_s)]
        if not present:
            return None, None
        return min(present, key=lambda each: each.value_pu), max(present, key=lambda each: each.value_pu)
