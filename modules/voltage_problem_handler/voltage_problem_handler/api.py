"""The messages of role voltage_problem_handler, and what is used of storage, oltc and voltage_guard.

Names are as on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VoltageProblem:
    """Topic voltage_problem: the measured value and the limit it crossed, of `limit` "en50160" or
    "operating".
    """

    meter: str
    value_pu: float
    limit_pu: float
    limit: str
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class TapChanged:
    """Topic tap_position, `tapChanged`: one step was made."""

    position: int
    previous: int
    operations: int
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class DataPointQuery:
    """Role storage, payload of `getMostRecentValue`."""

    dataPoint: str


@dataclass(frozen=True, slots=True)
class MostRecent:
    """Role storage, the reply to `getMostRecentValue`."""

    dataPoint: str
    value: float
    unit: str
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class MeasurementsQuery:
    """Role storage, payload of `getMeasurements`: both times included."""

    dataPoint: str
    from_s: float
    to_s: float
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored measurement."""

    value: float
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """Role storage, the reply to `getMeasurements`."""

    dataPoint: str
    unit: str
    measurements: list[Stored]


@dataclass(frozen=True, slots=True)
class TapPosition:
    """Role oltc, payload of `setTapPosition`."""

    position: int


@dataclass(frozen=True, slots=True)
class TapState:
    """What is read of role oltc's replies."""

    position: int
    target: int
    min: int
    max: int
    moving: bool
    lockedOut: bool
    lockOutReason: str | None = None


@dataclass(frozen=True, slots=True)
class OpenProblem:
    """A meter outside a limit, since when: in role voltage_guard's status and in ours."""

    meter: str
    limit: str
    value_pu: float
    since_s: float


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """What is read of role voltage_guard's reply to `status`."""

    problems: list[OpenProblem]


@dataclass(frozen=True, slots=True)
class LastDecision:
    """The most recent decision: its outcome, the target tap if it was to move, why, and when (site time)."""

    outcome: str
    target: int | None
    reason: str
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class HandlerStatus:
    """Role voltage_problem_handler, the reply to `status`.

    `trouble`: what keeps it from acting, such as an absent role.
    """

    problems: list[OpenProblem]
    moves: int
    lastDecision: LastDecision | None
    trouble: str | None
