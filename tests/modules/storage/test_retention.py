"""What is kept: by age, by size, and always the newest value of each data point; the file really shrinks."""

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path

from storage.limits import DAY_S, MIB, Limits
from storage.sample import Row
from storage.store import Store
from tests.modules.storage.until import until

START_S = 1_700_000_000.0


async def _fill(store: Store, days: float, every_s: float, points: Iterable[str], value: float = 1.0) -> float:
    """Write all `points` for `days`; returns the last time stamp."""
    count = int(days * DAY_S / every_s)
    for first in range(0, count, 100):
        await store.add(
            [
                Row(point, START_S + number * every_s, float(number))
                for number in range(first, min(first + 100, count))
                for point in points
            ]
        )
    return START_S + (count - 1) * every_s


def _disk_bytes(store: Store) -> int:
    status = store.status()
    return status.database_bytes + status.wal_bytes


async def test_what_is_older_than_keep_days_goes_and_the_file_shrinks(tmp_path: Path) -> None:
    """Both halves: rows go by age, and their space goes back to the file system."""
    path = tmp_path / "m.db"
    points = [f"p{number}" for number in range(10)]
    async with Store(path, Limits(keep_days=1.0), now=lambda: math.inf) as store:
        for point in points:
            await store.create_data_point(point, "kW")
        last_s = await _fill(store, 10.0, 60.0, points)
        assert store.status().rows == 144_000
        await store.retain()
        kept = await store.between("p3", 0.0, math.inf, 10_000)
        assert kept.samples[0].timestamp_s == last_s - DAY_S
        assert kept.samples[-1].timestamp_s == last_s
        assert store.status().rows == 10 * 1441
        assert store.status().rows_retired == 144_000 - 14_410
    full_bytes = 144_000 * 20
    assert path.stat().st_size < full_bytes / 4
    async with Store(path) as store:
        assert store.status().rows == 14_410


async def test_the_database_and_its_log_stay_within_keep_mib(tmp_path: Path) -> None:
    """Checked after every request, without any call of `retain`: a fast sender can't outrun it."""
    points = [f"p{number}" for number in range(20)]
    async with Store(tmp_path / "m.db", Limits(keep_mib=4.0), now=lambda: math.inf) as store:
        for point in points:
            await store.create_data_point(point, "kW")
        highest = 0
        for number in range(400):
            at_s = START_S + number * 3000.0
            await store.add([Row(point, at_s + 60.0 * step, 1.5) for step in range(50) for point in points])
            highest = max(highest, _disk_bytes(store))
        assert store.status().rows_added == 400_000
        assert store.status().rows_retired > 200_000
        assert highest <= 4 * MIB
        newest = (await store.newest("p0")).samples[0]
        assert newest.timestamp_s == START_S + 399 * 3000.0 + 60.0 * 49
        oldest = [(await store.between(point, 0.0, math.inf, 1)).samples[0].timestamp_s for point in points]
        assert max(oldest) - min(oldest) <= (newest.timestamp_s - min(oldest)) / 8


async def test_a_lower_keep_mib_shrinks_the_file(tmp_path: Path) -> None:
    """The operator who lowers it needs the space now, on a store that is running."""
    points = [f"p{number}" for number in range(10)]
    async with Store(tmp_path / "m.db", Limits(keep_mib=16.0), now=lambda: math.inf) as store:
        for point in points:
            await store.create_data_point(point, "kW")
        await _fill(store, 20.0, 60.0, points)
        assert _disk_bytes(store) > 5 * MIB
        store.limits = Limits(keep_mib=4.0)
        await store.retain()
        assert _disk_bytes(store) <= 4 * MIB


async def test_the_newest_value_of_a_data_point_is_never_deleted(tmp_path: Path) -> None:
    """A tap position that last changed months ago is still the present one."""
    async with Store(tmp_path / "m.db", Limits(keep_days=1.0), now=lambda: math.inf) as store:
        await store.create_data_point("tap", "")
        await store.create_data_point("p", "kW")
        await store.add([Row("tap", START_S - 100 * DAY_S, 1.0), Row("tap", START_S - 90 * DAY_S, 2.0)])
        await store.add([Row("p", START_S, 1.0)])
        await store.retain()
        assert (await store.between("tap", 0.0, math.inf)).samples == [(START_S - 90 * DAY_S, 2.0)]


async def test_neither_a_wrong_time_stamp_nor_a_wrong_clock_empties_the_store(tmp_path: Path) -> None:
    """Boards have no clock to trust; age counts from the earlier of the clock and the newest time stamp."""
    clock_s = START_S + DAY_S
    async with Store(tmp_path / "m.db", Limits(keep_days=30.0), now=lambda: clock_s) as store:
        await store.create_data_point("p", "kW")
        last_s = await _fill(store, 1.0, 600.0, ["p"])
        await store.add([Row("p", START_S + 9999 * DAY_S, 0.0)])
        await store.retain()
        assert store.status().rows == 145
        clock_s = START_S + 9999 * DAY_S
        await store.add([Row("p", last_s + 1.0, 0.0)])
    async with Store(tmp_path / "n.db", Limits(keep_days=30.0), now=lambda: clock_s) as store:
        await store.create_data_point("p", "kW")
        await _fill(store, 1.0, 600.0, ["p"])
        await store.retain()
        assert store.status().rows == 144


async def test_retention_lets_requests_through(tmp_path: Path) -> None:
    """It goes in short steps: an add in the middle waits for one step, not for all of them."""
    points = [f"p{number}" for number in range(10)]
    async with Store(tmp_path / "m.db", Limits(keep_days=1.0), now=lambda: math.inf) as store:
        for point in points:
            await store.create_data_point(point, "kW")
        last_s = await _fill(store, 10.0, 60.0, points)
        rows = store.status().rows
        async with asyncio.TaskGroup() as tasks:
            retaining = tasks.create_task(store.retain())
            await until(lambda: store.status().rows < rows)
            await store.add([Row("p0", last_s + 60.0, 1.0)])
            assert not retaining.done()
