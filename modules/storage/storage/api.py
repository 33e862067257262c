"""The contract of role `storage`, and what is read of topic `measurement`. Field names are on the wire.

Time stamps are Unix seconds of site time; units are after the underscore, or in `unit` beside the value.
"""

from msgspec import Struct


class Voltage(Struct, frozen=True):
    """Event measurement.voltage: the voltage at a meter, per unit of the nominal one."""

    meter: str
    value_pu: float
    timestamp_s: float


class Power(Struct, frozen=True):
    """Event measurement.power: what flows through a meter; consumption is positive."""

    meter: str
    active_kw: float
    reactive_kvar: float
    timestamp_s: float


class DataPointSpec(Struct, frozen=True):
    """createDataPoint: a name that measurements are stored under, and their unit."""

    dataPoint: str
    unit: str


class NewMeasurement(Struct, frozen=True):
    """addMeasurement: one value of an existing data point, in the data point's unit."""

    dataPoint: str
    value: float
    timestamp_s: float


class NewMeasurements(Struct, frozen=True):
    """addMeasurements: several at once, of which all are stored or none."""

    measurements: list[NewMeasurement]


class Stored(Struct, frozen=True):
    """The acknowledgement: this many measurements are on the disk."""

    stored: int


class DataPointQuery(Struct, frozen=True):
    """getMostRecentValue: of this data point."""

    dataPoint: str


class Measurement(Struct, frozen=True):
    """The most recent value of a data point."""

    dataPoint: str
    value: float
    unit: str
    timestamp_s: float


class RangeQuery(Struct, frozen=True):
    """getMeasurements: the first `limit` (1 to 10,000) with from_s <= timestamp_s <= to_s."""

    dataPoint: str
    from_s: float
    to_s: float
    limit: int = 1000


class TimedValue(Struct, frozen=True):
    """One measurement of a history."""

    value: float
    timestamp_s: float


class History(Struct, frozen=True):
    """Measurements of one data point, in order of time."""

    dataPoint: str
    unit: str
    measurements: list[TimedValue]


class StorageStatus(Struct, frozen=True):
    """status: what is stored, and what storing it cost; counts are since the module was started."""

    rows: int
    dataPoints: int
    database_bytes: int
    writeAheadLog_bytes: int
    commits: int
    rowsAdded: int
    rowsRetired: int  # deleted by retention
    written_bytes: int  # to flash, without the file system's own journal
    eventsBuffered: int
    eventsDropped: int
    queuedRows: int
    busy: int  # requests that found the queue full
    lastError: str | None
