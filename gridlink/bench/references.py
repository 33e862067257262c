"""The reference solutions of both days (pandapower): every quarter hour, tap position and bus."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gridlink.bench.errors import BenchFailed

DATA = Path(__file__).parent / "data"
DAYS = ("summer", "winter")


@dataclass(frozen=True, slots=True)
class Extremes:
    """The lowest and the highest voltage of all buses, in per unit."""

    lowest_pu: float
    highest_pu: float

    def outside(self, lower_pu: float, upper_pu: float) -> bool:
        """Whether any bus is below the lower or above the upper limit."""
        return self.lowest_pu < lower_pu or self.highest_pu > upper_pu


Day = Mapping[int, tuple[Extremes, ...]]
"""Tap position -> the day's quarter hours."""


def read(day: str, directory: Path | None = None) -> str:
    """The CSV of a day: the delivered one, or `DAY_reference.csv` in a directory. Raises BenchFailed."""
    file = DATA / f"{day}_reference.csv.gz" if directory is None else directory / f"{day}_reference.csv"
    try:
        body = file.read_bytes()
        return (gzip.decompress(body) if directory is None else body).decode()
    except (OSError, ValueError) as error:
        raise BenchFailed(f"{file}: expected a day's reference solutions, came {error}: restore the file") from error


def extremes(text: str) -> Day:
    """The extremes of a day, by tap position. Raises KeyError, ValueError for a text that isn't a reference."""
    found: dict[int, list[Extremes]] = {}
    for row in csv.DictReader(text.splitlines()):
        voltages = [float(value) for name, value in row.items() if name.startswith("v_")]
        found.setdefault(int(row["tap"]), []).append(Extremes(min(voltages), max(voltages)))
    return {tap: tuple(quarters) for tap, quarters in found.items()}


def outside_by_tap(day: Day, lower_pu: float, upper_pu: float) -> dict[int, int]:
    """Quarter hours outside of the limits, at each fixed tap position."""
    return {tap: sum(one.outside(lower_pu, upper_pu) for one in quarters) for tap, quarters in day.items()}


def best(quarter_hours: Mapping[int, int]) -> tuple[int, int]:
    """The tap position with the fewest quarter hours outside, the one nearest to 0 of several, and their number."""
    tap = min(quarter_hours, key=lambda tap: (quarter_hours[tap], abs(tap), tap))
    return tap, quarter_hours[tap]


def best_for_all(days: Mapping[str, Day], lower_pu: float, upper_pu: float) -> tuple[int, int]:
    """The same for one tap position that stays for all days."""
    total: dict[int, int] = {}
    for day in days.values():
        for tap, quarter_hours in outside_by_tap(day, lower_pu, upper_pu).items():
            total[tap] = total.get(tap, 0) + quarter_hours
    return best(total)
