"""The store's requests: what they answer, what they refuse, and what closing and cancelling does."""

import asyncio
import math
from pathlib import Path

import pytest

from storage.errors import StoreClosed, StoreRefused
from storage.limits import Limits
from storage.sample import Row, Sample
from storage.store import Store


async def test_what_was_added_is_read_back_in_order_of_time(store: Store) -> None:
    """The plain case: add out of order, read a range and the newest."""
    await store.add([Row("p", 30.0, 3.0), Row("p", 10.0, 1.0), Row("p", 20.0, 2.0)])
    assert await store.newest("p") == ("kW", [Sample(30.0, 3.0)])
    assert (await store.between("p", 10.0, 20.0)).samples == [(10.0, 1.0), (20.0, 2.0)]
    assert (await store.between("p", 0.0, 99.0, limit=1)).samples == [(10.0, 1.0)]


async def test_the_newest_is_not_of_the_future(tmp_path: Path) -> None:
    """A clock that was hours ahead and is set right must not freeze the newest value until then."""
    now_s = 21_600.0
    async with Store(tmp_path / "measurements.db", now=lambda: now_s) as store:
        await store.create_data_point("p", "kW")
        await store.add([Row("p", now_s, 1.0)])
        now_s = 100.0
        assert (await store.newest("p")).samples == [(21_600.0, 1.0)]  # there is no other
        await store.add([Row("p", 160.0, 2.0)])  # a meter's clock is a little ahead
        assert (await store.newest("p")).samples == [(160.0, 2.0)]
        await store.record([Row("p", 22_000.0, 3.0), Row("p", 170.0, 4.0)], "kW")
        assert (await store.newest("p")).samples == [(170.0, 4.0)]


async def test_what_was_added_is_there_after_reopening(tmp_path: Path) -> None:
    """Rows, units and the count of rows outlive the process."""
    path = tmp_path / "measurements.db"
    async with Store(path) as store:
        await store.create_data_point("p", "kW")
        await store.add([Row("p", 1.0, 2.0)])
    async with Store(path) as store:
        assert await store.newest("p") == ("kW", [Sample(1.0, 2.0)])
        assert store.status().rows == 1


async def test_a_later_write_of_the_same_time_stamp_replaces_the_earlier(store: Store) -> None:
    """A replayed day must do no harm, in one request and across requests; the count stays right."""
    await store.add([Row("p", 1.0, 1.0), Row("p", 1.0, 2.0)])
    assert (await store.newest("p")).samples == [(1.0, 2.0)]
    await store.add([Row("p", 1.0, 3.0)])
    assert (await store.between("p", 0.0, 9.0)).samples == [(1.0, 3.0)]
    assert store.status().rows == 1


async def test_replaying_equal_measurements_writes_nothing(store: Store) -> None:
    """Flash wears: a day that is replayed unchanged costs none of it."""
    rows = [Row("p", float(number), 1.0) for number in range(100)]
    await store.add(rows)
    before = store.status()
    await store.add(rows)
    assert store.status().commits == before.commits
    assert store.status().written_bytes == before.written_bytes


async def test_a_data_point_can_be_made_again_but_not_with_another_unit(store: Store) -> None:
    """A module makes its data points at each start; a changed unit would falsify its history."""
    await store.create_data_point("p", "kW")
    with pytest.raises(StoreRefused, match=r"'p' has the unit 'kW', got 'MW'"):
        await store.create_data_point("p", "MW")


async def test_an_unknown_data_point_is_refused_with_what_to_do(store: Store) -> None:
    """For every request that names one."""
    for request in (store.add([Row("q", 1.0, 1.0)]), store.newest("q"), store.between("q", 0.0, 1.0)):
        with pytest.raises(StoreRefused, match="no data point 'q': make it with createDataPoint"):
            await request


async def test_one_unknown_data_point_refuses_the_whole_request_and_no_other(store: Store) -> None:
    """All or none; the requests that share its transaction are not disturbed."""
    bad = store.add([Row("p", 1.0, 1.0), Row("q", 1.0, 1.0)])
    good = store.add([Row("p", 2.0, 2.0)])
    outcomes = await asyncio.gather(bad, good, return_exceptions=True)
    assert isinstance(outcomes[0], StoreRefused)
    assert outcomes[1] == 1
    assert (await store.between("p", 0.0, 9.0)).samples == [(2.0, 2.0)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400])
async def test_what_is_no_finite_number_is_refused(store: Store, number: float) -> None:
    """SQLite would store NaN as NULL, and infinity has no JSON."""
    with pytest.raises(StoreRefused, match="value of 'p': expected a finite number"):
        await store.add([Row("p", 1.0, number)])
    with pytest.raises(StoreRefused, match="timestamp_s of 'p': expected a finite number"):
        await store.add([Row("p", number, 1.0)])


async def test_names_and_ranges_are_checked(store: Store) -> None:
    """What can't be stored or answered says so before it reaches the database."""
    for name in ("", "x" * 129, "a\nb", "\ud800"):
        with pytest.raises(StoreRefused, match="printable characters"):
            await store.create_data_point(name, "kW")
    with pytest.raises(StoreRefused, match="from_s <= to_s"):
        await store.between("p", 2.0, 1.0)
    for limit in (0, 10_001):
        with pytest.raises(StoreRefused, match="limit: expected 1 to 10000"):
            await store.between("p", 0.0, 1.0, limit)
    with pytest.raises(StoreRefused, match="no measurement yet"):
        await store.newest("p")


async def test_the_number_of_data_points_is_bounded(tmp_path: Path) -> None:
    """Names come from outside; without a bound one wrong sender fills the board."""
    async with Store(tmp_path / "m.db", Limits(max_data_points=1)) as store:
        await store.create_data_point("p", "kW")
        with pytest.raises(StoreRefused, match="raise max_data_points"):
            await store.create_data_point("q", "kW")
        await store.record([Row("r", 1.0, 1.0)], "kW")
        await store.flush()
        assert store.status().events_dropped == 1


async def test_closing_twice_is_fine_and_use_after_it_is_a_clear_error(tmp_path: Path) -> None:
    """A stop may be repeated; a late request must not open the file again."""
    store = await Store(tmp_path / "m.db").open()
    await store.aclose()
    await store.aclose()
    for request in (store.add([Row("p", 1.0, 1.0)]), store.newest("p"), store.flush(), store.retain()):
        with pytest.raises(StoreClosed, match="is closed"):
            await request
    with pytest.raises(StoreClosed):
        store.status()


async def test_closing_commits_what_was_queued(tmp_path: Path) -> None:
    """Requests that wait when the module is stopped are answered, not dropped."""
    store = await Store(tmp_path / "m.db").open()
    await store.create_data_point("p", "kW")
    async with asyncio.TaskGroup() as tasks:
        adds = [tasks.create_task(store.add([Row("p", float(number), 1.0)])) for number in range(100)]
        await asyncio.sleep(0)
        await store.aclose()
    assert [add.result() for add in adds] == [1] * 100
    async with Store(tmp_path / "m.db") as again:
        assert again.status().rows == 100


async def test_closing_can_be_cancelled_and_repeated(tmp_path: Path) -> None:
    """A stop with a time limit cancels it; the second call ends what the first began."""
    store = await Store(tmp_path / "m.db").open()
    await store.create_data_point("p", "kW")
    await store.record([Row("p", 1.0, 1.0)], "kW")
    async with asyncio.TaskGroup() as tasks:
        closing = tasks.create_task(store.aclose())
        await asyncio.sleep(0)
        closing.cancel()
    await store.aclose()
    async with Store(tmp_path / "m.db") as again:
        assert (await again.newest("p")).samples == [(1.0, 1.0)]


async def test_cancelled_requests_do_not_disturb_the_writer(store: Store) -> None:
    """Each request is cancelled at another moment: queued, under way, done; the rest must be answered."""
    async with asyncio.TaskGroup() as tasks:
        adds = [tasks.create_task(store.add([Row("p", float(number), 1.0)])) for number in range(200)]
        for add in adds[::2]:
            await asyncio.sleep(0)
            add.cancel()
    assert [add.result() for add in adds[1::2]] == [1] * 100
    stored = {at for at, _ in (await store.between("p", 0.0, 1e9)).samples}
    assert {float(number) for number in range(1, 200, 2)} <= stored
    assert store.status().rows == len(stored)
    assert store.status().queued_rows == 0


async def test_a_cancelled_read_leaves_the_reader_usable(store: Store) -> None:
    """The read goes on in its thread; the next one must get its own answer."""
    await store.add([Row("p", 1.0, 1.0)])
    async with asyncio.TaskGroup() as tasks:
        read = tasks.create_task(store.newest("p"))
        await asyncio.sleep(0)
        read.cancel()
    assert (await store.newest("p")).samples == [(1.0, 1.0)]


async def test_an_unclosed_store_warns(tmp_path: Path) -> None:
    """A forgotten close loses the events that wait: it must be noticed."""
    store = await Store(tmp_path / "m.db").open()
    with pytest.warns(ResourceWarning, match="unclosed store"):
        store.__del__()
    await store.aclose()
