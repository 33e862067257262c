"""The types on the wire: of the bus (what other modules send and answer) and of HTTP (what the door answers).

Field names are what is on the wire: camelCase, and a unit after `_` where one is needed; times are Unix
seconds of site time. The OpenAPI document is generated from these types, so a field added here is described.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Limit = Literal["en50160", "operating"]
Kind = Literal["overVoltage", "underVoltage"]
Seconds = Annotated[float, Meta(ge=0, le=1e11, description="Unix seconds of site time")]
DataPoint = Annotated[
    str, Meta(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9_.-]+$", examples=["bus_3.voltage_pu"])
]


class Voltage(Struct, frozen=True):
    """Topic `measurement`, type `voltage`: one meter's voltage, per unit of nominal."""

    meter: str
    value_pu: float
    timestamp_s: float


class Power(Struct, frozen=True):
    """Topic `measurement`, type `power`: one meter's active and reactive power."""

    meter: str
    active_kw: float
    reactive_kvar: float
    timestamp_s: float


class VoltageProblem(Struct, frozen=True):
    """Topic `voltage_problem`: a limit was crossed, or the meter is back on its good side."""

    meter: str
    value_pu: float
    limit_pu: float
    limit: Limit
    timestamp_s: float


class TapChanged(Struct, frozen=True):
    """Topic `tap_position`, type `tapChanged`: the transformer's tap changer has stepped."""

    position: int
    previous: int
    operations: int
    timestamp_s: float


class GuardedProblem(Struct, frozen=True):
    """A meter outside a limit, in the reply of role `voltage_guard`; `since_s` is site time."""

    meter: str
    limit: Limit
    side: Literal["over", "under"]
    value_pu: float
    limit_pu: float
    since_s: float


class GuardStatus(Struct, frozen=True):
    """What is read of role `voltage_guard`'s reply to `status`."""

    problems: list[GuardedProblem]


class TapRequest(Struct, frozen=True):
    """Role `oltc`, request `setTapPosition`; also the body of POST /api/tap."""

    position: Annotated[int, Meta(ge=-100, le=100, description="the tap position wanted")]


class TapState(Struct, frozen=True):
    """Role `oltc`, the reply of `setTapPosition` and `getTapPosition`."""

    position: int
    target: int
    min: int
    max: int
    moving: bool
    operations: int
    lockedOut: bool
    lockOutReason: str | None = None


class MeasurementsQuery(Struct, frozen=True):
    """Role `storage`, request `getMeasurements`."""

    dataPoint: str
    from_s: float
    to_s: float
    limit: int = 1000


class Sample(Struct, frozen=True):
    """One stored value, in the unit of its series."""

    value: float
    timestamp_s: float


class Measurements(Struct, frozen=True):
    """Role `storage`, the reply of `getMeasurements`; also the body of GET /api/measurements/{dataPoint}."""

    dataPoint: str
    unit: str
    measurements: list[Sample]


class MeasurementsParameters(Struct, frozen=True):
    """Path and query of GET /api/measurements/{dataPoint}; without times, the last 24 hours."""

    dataPoint: DataPoint
    from_s: Seconds | None = None
    to_s: Seconds | None = None
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000


class Meter(Struct, frozen=True):
    """The last values of one meter; `stale` when the voltage is older than the configured age."""

    voltage_pu: float | None
    active_kw: float | None
    reactive_kvar: float | None
    timestamp_s: float
    stale: bool


class Extreme(Struct, frozen=True):
    """The lowest or the highest of the present (not stale) voltages."""

    meter: str
    value_pu: float


class OpenProblem(Struct, frozen=True):
    """A limit that is crossed and has not been reported back to normal."""

    kind: Kind
    meter: str
    limit: Limit
    limit_pu: float
    value_pu: float
    since_s: float


class Tap(Struct, frozen=True):
    """The tap position as last announced; `operations` counts steps since the controller's start."""

    position: int
    operations: int
    timestamp_s: float


class Grid(Struct, frozen=True):
    """GET /api/grid: the state of the grid as this module has seen it."""

    siteTime_s: float
    meters: dict[str, Meter]
    lowest: Extreme | None
    highest: Extreme | None
    tap: Tap | None
    problems: list[OpenProblem]


class BandPoint(Struct, frozen=True):
    """The lowest and the highest voltage of any meter in the interval that starts at `start_s`."""

    start_s: float
    lowest_pu: float
    highest_pu: float


class Band(Struct, frozen=True):
    """GET /api/band: the voltages of the last 24 hours of site time, an interval a point, oldest first."""

    interval_s: float
    points: list[BandPoint]


class ModuleEntry(Struct, frozen=True):
    """One running copy of a module, as the registry holds it."""

    instance: str
    name: str
    node: str
    machine: str
    mode: str
    version: str
    state: str
    reason: str
    roles: list[str]
    topics: list[str]


class VoltageSummary(Struct, frozen=True):
    """Server-sent event `voltage`; the latest state, sent at most twice a real second."""

    siteTime_s: float
    lowest: Extreme | None
    highest: Extreme | None
    voltage_pu: dict[str, float]


class ProblemChange(Struct, frozen=True):
    """Server-sent event `problem`."""

    change: Literal["opened", "changed", "closed"]
    problem: OpenProblem


class ModuleChange(Struct, frozen=True):
    """Server-sent event `module`; `state` is GONE when the instance has left the registry."""

    instance: str
    name: str
    state: str
    previous: str | None
    reason: str


class Health(Struct, frozen=True):
    """GET /healthz: this module answers; `measurementAge_s` (site time) says whether the site feeds it."""

    status: Literal["ok"]
    measurementAge_s: float | None


class ProblemDetails(Struct, frozen=True):
    """An error, as RFC 9457 has it, with what was expected, what came and what to do."""

    type: str
    title: str
    status: int
    detail: str
    expected: str
    came: str
    do: str


class Status(Struct, frozen=True):
    """Role `dashboard_interface`, the reply of `status`: where the door is and how it is used."""

    url: str
    host: str
    port: int
    portWanted: int
    portWasTaken: bool
    connections: int
    streams: int
    requests: int
    refusedConnections: int
    droppedStreams: int
    ignoredEvents: int
