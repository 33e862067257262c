"""Days of measured load, one state a quarter hour, replayed one after the other and then again.

Pure and immutable.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

from msgspec import Struct

QUARTER_HOUR_S = 900.0
QUARTERS_A_DAY = 96
DAY_S = QUARTER_HOUR_S * QUARTERS_A_DAY


class ProfileError(ValueError):
    """A day's profile that can't be used. The text says where, what was expected and what came."""


class Quarter(Struct, frozen=True):
    """What holds for one quarter hour: consumption P + jQ (kW, kvar) a bus, and the MV busbar's voltage."""

    loads_kva: tuple[complex, ...]
    mv_voltage_pu: float


class Day(Struct, frozen=True):
    """A named day of 96 quarter hours."""

    name: str
    quarters: tuple[Quarter, ...]


class Instant(Struct, frozen=True):
    """Where a replay stands: the day, counted from its beginning, and the quarter hour in it."""

    day_number: int
    quarter: int


def load_day(name: str, text: str, buses: Sequence[int]) -> Day:
    """Read a day from CSV text (minute, bus, p_kw, q_kvar, mv_voltage_pu), loads in the order of `buses`.

    A bus without rows consumes nothing. Raises ProfileError when a quarter hour is missing or a row does not
    fit.
    """
    index = {bus: i for i, bus in enumerate(buses)}
    loads = [[0j] * len(buses) for _ in range(QUARTERS_A_DAY)]
    slack: list[float | None] = [None] * QUARTERS_A_DAY
    for number, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            quarter, rest = divmod(int(row["minute"]), 15)
            if rest or quarter < 0:
                raise ValueError("minute is no quarter hour of a day")
            loads[quarter][index[int(row["bus"])]] += complex(float(row["p_kw"]), float(row["q_kvar"]))
            slack[quarter] = float(row["mv_voltage_pu"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ProfileError(
                f"day {name}, line {number}: expected minute, bus, p_kw, q_kvar, mv_voltage_pu, "
                f"came {row!r} ({error}); correct the line"
            ) from error
    return Day(name, tuple(_quarter(name, i, loads[i], slack[i]) for i in range(QUARTERS_A_DAY)))


def _quarter(name: str, number: int, loads: list[complex], mv_voltage_pu: float | None) -> Quarter:
    if mv_voltage_pu is None:
        raise ProfileError(f"day {name}: expected 96 quarter hours, came none for minute {number * 15}; add its rows")
    return Quarter(tuple(loads), mv_voltage_pu)


class Replay(Struct, frozen=True):
    """Days one after the other, then again from the first. Values are held for their quarter hour."""

    days: tuple[Day, ...]

    def instant(self, elapsed_s: float) -> Instant:
        """Where the replay stands `elapsed_s` seconds (0 or more) after its first midnight."""
        quarters = int(elapsed_s // QUARTER_HOUR_S)
        return Instant(*divmod(quarters, QUARTERS_A_DAY))

    def day(self, instant: Instant) -> Day:
        """The day that is replayed at an instant."""
        return self.days[instant.day_number % len(self.days)]

    def quarter(self, instant: Instant) -> Quarter:
        """The quarter hour that holds at an instant."""
        return self.day(instant).quarters[instant.quarter]

    def quarter_ends_s(self, instant: Instant) -> float:
        """When, in seconds after the first midnight, the instant's quarter hour ends."""
        return (instant.day_number * QUARTERS_A_DAY + instant.quarter + 1) * QUARTER_HOUR_S
