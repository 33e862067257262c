"""The module `Storage`: puts the store behind role `storage` and feeds it from topic `measurement`.

Always: a request is answered only when what it asked for is on the disk; every StoreError reaches the sender.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gridlink import Busy, Module, Refused, every, request, subscribe
from storage.api import (
    DataPointQuery,
    DataPointSpec,
    History,
    Measurement,
    NewMeasurement,
    NewMeasurements,
    Power,
    RangeQuery,
    StorageStatus,
    Stored,
    TimedValue,
    Voltage,
)
from storage.errors import StoreBusy, StoreError
from storage.limits import Limits
from storage.sample import Row
from storage.store import Store

FILE = "measurements.db"


@dataclass(frozen=True)
class Config:
    """What is kept and for how long; the defaults suit a board with 40 data points a minute."""

    keep_days: float = 30.0  # of site time
    keep_mib: float = 64.0  # on disk, the write-ahead log included; at least 4
    flush_s: float = 300.0  # real time that an event may wait in memory: what a power cut can take of them
    max_data_points: int = 1000

    def limits(self) -> Limits:
        """The store's bounds. Raises StoreRefused for one that can't be kept."""
        return Limits(self.keep_days, self.keep_mib, self.flush_s, self.max_data_points)


class Storage(Module[Config]):
    """Stores measurements durably and answers for their history."""

    roles = ("storage",)
    _store: Store

    async def start(self) -> None:
        """Open the store. Raises Refused when the configuration or the file doesn't allow it."""
        with _answered():
            self._store = Store(self.data_dir / FILE, self.config.limits(), self.clock.now)
            await self._store.open()

    async def stop(self) -> None:
        """Write the events that wait and close the store."""
        with _answered():
            await self._store.aclose()

    async def configure(self, old: Config, new: Config) -> None:
        """Take over new limits while running. Raises Refused for one that can't be kept."""
        with _answered():
            self._store.limits = new.limits()

    async def healthy(self) -> bool | str:
        """Not where events can't be written: they wait in memory, and the oldest go when that is full."""
        return self._store.status().last_error or True

    @request("createDataPoint")
    async def create_data_point(self, spec: DataPointSpec) -> DataPointSpec:
        """Make a data point; the same again is fine. Raises Refused when it exists with another unit."""
        with _answered():
            await self._store.create_data_point(spec.dataPoint, spec.unit)
        return spec

    @request("addMeasurement")
    async def add_measurement(self, new: NewMeasurement) -> Stored:
        """Store one; the same data point and time stamp again replaces it. Raises Refused, Busy."""
        with _answered():
            return Stored(await self._store.add([_row(new)]))

    @request("addMeasurements")
    async def add_measurements(self, new: NewMeasurements) -> Stored:
        """Store all of them or none, at most 4000. Raises Refused, Busy."""
        with _answered():
            return Stored(await self._store.add([_row(each) for each in new.measurements]))

    @request("getMostRecentValue")
    async def get_most_recent_value(self, query: DataPointQuery) -> Measurement:
        """The newest measurement by time stamp. Raises Refused when there is none."""
        with _answered():
            unit, samples = await self._store.newest(query.dataPoint)
        return Measurement(query.dataPoint, samples[0].value, unit, samples[0].timestamp_s)

    @request("getMeasurements")
    async def get_measurements(self, query: RangeQuery) -> History:
        """A history in order of time. Raises Refused for an unknown data point or an impossible range."""
        with _answered():
            unit, samples = await self._store.between(query.dataPoint, query.from_s, query.to_s, query.limit)
        return History(query.dataPoint, unit, [TimedValue(each.value, each.timestamp_s) for each in samples])

    @request("status")
    async def status(self) -> StorageStatus:
        """What is stored, and what storing it cost."""
        with _answered():
            now = self._store.status()
        return StorageStatus(
            rows=now.rows,
            dataPoints=now.data_points,
            database_bytes=now.database_bytes,
            writeAheadLog_bytes=now.wal_bytes,
            commits=now.commits,
            rowsAdded=now.rows_added,
            rowsRetired=now.rows_retired,
            written_bytes=now.written_bytes,
            eventsBuffered=now.events_buffered,
            eventsDropped=now.events_dropped,
            queuedRows=now.queued_rows,
            busy=now.busy,
            lastError=now.last_error,
        )

    @subscribe("measurement", "voltage")
    async def on_voltage(self, voltage: Voltage) -> None:
        """Keep a voltage; written within `flush_s`."""
        with _answered():
            await self._store.record([Row(f"{voltage.meter}.voltage_pu", voltage.timestamp_s, voltage.value_pu)], "pu")

    @subscribe("measurement", "power")
    async def on_power(self, power: Power) -> None:
        """Keep active and reactive power; written within `flush_s`."""
        at_s = power.timestamp_s
        with _answered():
            await self._store.record([Row(f"{power.meter}.active_kw", at_s, power.active_kw)], "kW")
            await self._store.record([Row(f"{power.meter}.reactive_kvar", at_s, power.reactive_kvar)], "kvar")

    @every(seconds=3600)
    async def retain(self) -> None:
        """Delete what is older than `keep_days`; a disk that doesn't allow it is logged, and tried again."""
        try:
            await self._store.retain()
        except StoreError as error:
            self.log.warning("nothing could be deleted: %s", error)


@contextmanager
def _answered() -> Iterator[None]:
    """Turn the store's errors into those that travel to the sender."""
    try:
        yield
    except StoreBusy as error:
        raise Busy(str(error)) from error
    except StoreError as error:
        raise Refused(str(error)) from error


def _row(new: NewMeasurement) -> Row:
    return Row(new.dataPoint, new.timestamp_s, new.value)
