"""Events are gathered in memory and written together; they can be read at once."""

from pathlib import Path

import pytest

from storage.event_buffer import EventBuffer
from storage.limits import Limits
from storage.sample import Row
from storage.store import Store
from tests.modules.storage.until import until


async def test_an_event_is_readable_before_it_is_written(store: Store) -> None:
    """The most recent value is asked for right after a problem was published."""
    before = store.status().commits
    await store.record([Row("bus_3.voltage_pu", 60.0, 1.01)], "pu")
    assert await store.newest("bus_3.voltage_pu") == ("pu", [(60.0, 1.01)])
    assert (await store.between("bus_3.voltage_pu", 0.0, 60.0)).samples == [(60.0, 1.01)]
    assert (await store.between("bus_3.voltage_pu", 61.0, 99.0)).samples == []
    assert store.status().commits == before


async def test_waiting_and_written_events_are_read_as_one_history(store: Store) -> None:
    """A reader must not see where memory ends and the disk begins."""
    await store.record([Row("v", 60.0, 1.0), Row("v", 120.0, 1.1)], "pu")
    await store.flush()
    await store.record([Row("v", 90.0, 1.2), Row("v", 120.0, 1.3)], "pu")
    assert (await store.between("v", 0.0, 999.0)).samples == [(60.0, 1.0), (90.0, 1.2), (120.0, 1.3)]
    assert (await store.between("v", 0.0, 999.0, limit=2)).samples == [(60.0, 1.0), (90.0, 1.2)]


async def test_an_hour_of_events_costs_one_commit(store: Store) -> None:
    """What the buffer is for: flash."""
    before = store.status().commits
    for minute in range(60):
        await store.record([Row(f"bus_{bus}.voltage_pu", minute * 60.0, 1.0) for bus in range(14)], "pu")
    await store.flush()
    assert store.status().commits == before + 1
    assert store.status().rows == 60 * 14
    assert store.status().events_buffered == 0


async def test_events_are_written_after_flush_s(tmp_path: Path) -> None:
    """Without a further call: a power cut must not take more than `flush_s` of them."""
    async with Store(tmp_path / "m.db", Limits(flush_s=0.01)) as store:
        await store.record([Row("v", 1.0, 1.0)], "pu")
        await until(lambda: store.status().rows == 1)
        assert store.status().events_dropped == 0


async def test_closing_writes_the_events_that_wait(tmp_path: Path) -> None:
    """A planned stop loses none."""
    async with Store(tmp_path / "m.db") as store:
        await store.record([Row("v", 1.0, 1.0)], "pu")
    async with Store(tmp_path / "m.db") as store:
        assert await store.newest("v") == ("pu", [(1.0, 1.0)])


async def test_a_request_after_an_event_wins_over_it(store: Store) -> None:
    """Same data point and time stamp: the later write replaces the earlier, also when the earlier waited."""
    await store.record([Row("v", 1.0, 1.0)], "pu")
    await store.add([Row("v", 1.0, 2.0)])
    await store.flush()
    assert (await store.newest("v")).samples == [(1.0, 2.0)]


async def test_more_events_than_fit_are_written_early_and_not_dropped(tmp_path: Path) -> None:
    """An accelerated day fills the buffer long before `flush_s`."""
    async with Store(tmp_path / "m.db", Limits(event_rows=100)) as store:
        for number in range(5000):
            await store.record([Row("v", float(number), 1.0)], "pu")
            assert store.status().events_buffered <= 100
        await store.flush()
        assert store.status().rows == 5000
        assert store.status().events_dropped == 0
        assert store.status().commits < 200


def test_a_full_buffer_drops_the_oldest_and_counts() -> None:
    """When the disk fails for long, memory stays bounded and the newest values survive."""
    buffer = EventBuffer(3)
    for number in range(5):
        buffer.add(Row("v", float(number), 1.0), "pu")
    assert list(buffer.samples("v")) == [2.0, 3.0, 4.0]
    assert (len(buffer), buffer.dropped) == (3, 2)


def test_what_could_not_be_written_waits_again_behind_newer_values() -> None:
    """A failed write must neither lose an event nor bring an old value back."""
    buffer = EventBuffer(10)
    buffer.add(Row("v", 1.0, 1.0), "pu")
    assert buffer.take() == [("v", 1.0, 1.0)]
    buffer.add(Row("v", 1.0, 2.0), "pu")
    buffer.add(Row("w", 1.0, 3.0), "kW")
    assert buffer.samples("v") == {1.0: 2.0}
    buffer.failed()
    assert sorted(buffer.take()) == [("v", 1.0, 2.0), ("w", 1.0, 3.0)]
    buffer.written(0)
    assert (len(buffer), buffer.units, buffer.dropped) == (0, {}, 0)


def test_events_that_find_only_taken_ones_are_dropped_not_kept_beyond_the_bound() -> None:
    """The bound holds also while a full buffer is on its way to the disk."""
    buffer = EventBuffer(2)
    buffer.add(Row("v", 1.0, 1.0), "pu")
    buffer.add(Row("v", 2.0, 1.0), "pu")
    buffer.take()
    buffer.add(Row("v", 3.0, 1.0), "pu")
    assert (len(buffer), buffer.dropped) == (2, 1)


@pytest.mark.parametrize("field", ["flush_s", "keep_days", "max_data_points"])
def test_a_bound_that_cannot_be_kept_is_refused(field: str) -> None:
    """A wrong configuration is told at start, by its name."""
    with pytest.raises(Exception, match=field):
        Limits(**{field: 0})
