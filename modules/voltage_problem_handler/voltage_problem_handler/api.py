"""The messages of role voltage_problem_handler, and what is used of storage, oltc and voltage_guard.

Names are as on the wire.
"""

from __future__ import annotations

from msgspec import Struct


class VoltageProblem(Struct, frozen=True):
    """Topic voltage_problem: the measured value and the limit it crossed, of `limit` "en50160" or
    "operating".
    """

    meter: str
    value_pu: float
    limit_pu: float
    limit: str
    timestamp_s: float


class TapChanged(Struct, frozen=True):
    """Topic tap_position, `tapChanged`: one step was made."""

    position: int
    previous: int
    operations: int
    timestamp_s: float


class DataPointQuery(Struct, frozen=True):
    """Role storage, payload of `getMostRecentValue`."""

    dataPoint: str


class MostRecent(Struct, frozen=True):
    """Role storage, the reply to `getMostRecentValue`."""

    dataPoint: str
    value: float
    unit: str
    timestamp_s: float


class MeasurementsQuery(Struct, frozen=True):
    """Role storage, payload of `getMeasurements`: both times included."""

    dataPoint: str
    from_s: float
    to_s: float
    limit: int = 1000


class Stored(Struct, frozen=True):
    """One stored measurement."""

    value: float
    timestamp_s: float


class Measurements(Struct, frozen=True):
    """Role storage, the reply to `getMeasurements`."""

    dataPoint: str
    unit: str
    measurements: list[Stored]


class TapPosition(Struct, frozen=True):
    """Role oltc, payload of `setTapPosition`."""

    position: int


class TapState(Struct, frozen=True):
    """What is read of role oltc's replies."""

    position: int
    target: int
    min: int
    max: int
    moving: bool
    lockedOut: bool
    lockOutReason: str | None = None


class OpenProblem(Struct, frozen=True):
    """A meter outside a limit, since when: in role voltage_guard's status and in ours."""

    meter: str
    limit: str
    value_pu: float
    since_s: float


class GuardStatus(Struct, frozen=True):
    """What is read of role voltage_guard's reply to `status`."""

    problems: list[OpenProblem]


class LastDecision(Struct, frozen=True):
    """The most recent decision: its outcome, the target tap if it was to move, why, and when (site time)."""

    outcome: str
    target: int | None
    reason: str
    timestamp_s: float


class HandlerStatus(Struct, frozen=True):
    """Role voltage_problem_handler, the reply to `status`.

    `trouble`: what keeps it from acting, such as an absent role.
    """

    problems: list[OpenProblem]
    moves: int
    lastDecision: LastDecision | None
    trouble: str | None
