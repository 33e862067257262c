"""The messages of role grid and topic measurement.

Field names are what is on the wire; the unit follows the underscore.
"""

from __future__ import annotations

from msgspec import Struct


class Voltage(Struct, frozen=True):
    """Topic measurement, `voltage`: what a meter measured, in per unit of 230/400 V, at a site time."""

    meter: str
    value_pu: float
    timestamp_s: float


class Power(Struct, frozen=True):
    """Topic measurement, `power`: what is consumed at a meter; feeding in is negative."""

    meter: str
    active_kw: float
    reactive_kvar: float
    timestamp_s: float


class TapPosition(Struct, frozen=True):
    """Role grid, payload of `setTapPosition`."""

    position: int


class DayCounters(Struct, frozen=True):
    """What one replayed day came to: site time with any bus outside, in quarter hours, and tap steps.

    `dayNumber` counts from 0.
    """

    day: str
    dayNumber: int
    outsideEn50160_quarterHours: float
    outsideBand_quarterHours: float
    tapSteps: int


class GridState(Struct, frozen=True):
    """Role grid, the reply: the grid now, the present day's counters, and `days`, those of the finished days
    (the last 30).
    """

    timestamp_s: float
    day: str
    dayNumber: int
    tapPosition: int
    lowest_pu: float
    lowestMeter: str
    highest_pu: float
    highestMeter: str
    transformerLoading_percent: float
    outsideEn50160_quarterHours: float
    outsideBand_quarterHours: float
    tapSteps: int
    days: list[DayCounters]
