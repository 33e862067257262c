"""The messages of role voltage_guard and topics measurement and voltage_problem.

Field names are what is on the wire.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Limit = Literal["en50160", "operating"]


class Voltage(Struct, frozen=True):
    """Topic measurement, `voltage`: what a meter measured, in per unit of 230/400 V, at a site time."""

    meter: str
    value_pu: float
    timestamp_s: float


class VoltageProblem(Struct, frozen=True):
    """Topic voltage_problem: the measured value and the limit it crossed, of `limit` "en50160" or
    "operating".
    """

    meter: str
    value_pu: float
    limit_pu: float
    limit: Limit
    timestamp_s: float


class OpenProblem(Struct, frozen=True):
    """A meter that is outside a limit: `side` "over" or "under", the latest value, since when (site time)."""

    meter: str
    limit: Limit
    side: str
    value_pu: float
    limit_pu: float
    since_s: float


class GuardStatus(Struct, frozen=True):
    """Role voltage_guard, the reply to `status`: how many meters were seen, what is outside, events
    published.
    """

    meters: int
    events: int
    problems: list[OpenProblem]
