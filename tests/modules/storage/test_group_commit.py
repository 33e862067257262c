"""Group commit: few transactions for many requests, a bounded queue, and one failure for all of a batch."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

from storage.database import Database, Operation
from storage.errors import StoreBusy, StoreClosed, StoreUnavailable
from storage.group_commit import GroupCommit
from storage.sample import Row
from storage.store import Store
from tests.modules.storage.until import until


async def test_500_concurrent_adds_take_a_few_commits(store: Store) -> None:
    """What group commit is for: an fsync costs milliseconds on a board, 500 of them seconds."""
    before = store.status().commits
    await asyncio.gather(*(store.add([Row("p", float(number), 1.0)]) for number in range(500)))
    assert store.status().rows == 500
    assert store.status().commits - before <= 5


class Writer:
    """A commit that waits until the test lets it go on."""

    def __init__(self) -> None:
        """Held at first."""
        self.go = threading.Event()
        self.sizes: list[int] = []
        self.failure: Exception | None = None

    def commit(self, operations: list[Operation], _: float) -> list[object]:
        """Stands in for Database.commit."""
        if not self.go.wait(10):
            raise TimeoutError("the test never let the writer go on")
        self.sizes.append(len(operations))
        if self.failure is not None:
            raise self.failure
        return list(range(len(operations)))


def _nothing(_: Database) -> None:
    return None


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """One thread."""
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest_asyncio.fixture
async def held(executor: ThreadPoolExecutor) -> AsyncIterator[tuple[GroupCommit, Writer]]:
    """A queue of 10 rows before a writer that is held."""
    writer = Writer()
    commits = GroupCommit(writer.commit, executor, 10, time.time)
    yield commits, writer
    writer.go.set()
    await commits.aclose()


async def test_what_queued_during_a_commit_goes_into_the_next_one(held: tuple[GroupCommit, Writer]) -> None:
    """No time is spent gathering: the running commit is the gathering."""
    commits, writer = held
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(commits.submit(_nothing))
        await until(lambda: commits.submitted == 1 and not commits.queued_rows)
        for _ in range(5):
            tasks.create_task(commits.submit(_nothing))
        await until(lambda: commits.queued_rows == 5)
        writer.go.set()
    assert writer.sizes == [1, 5]


async def test_a_full_queue_refuses_at_once(held: tuple[GroupCommit, Writer]) -> None:
    """Memory is bounded, and the sender learns that it can try again."""
    commits, writer = held
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(commits.submit(_nothing))
        await until(lambda: commits.submitted == 10)
        with pytest.raises(StoreBusy, match="try again later"):
            await commits.submit(_nothing, 11)
        writer.go.set()
    assert commits.refused == 1


async def test_a_failed_commit_fails_all_of_its_batch_and_none_of_the_next(
    held: tuple[GroupCommit, Writer],
) -> None:
    """Nothing of it is on the disk, so nothing of it may be acknowledged; the writer goes on."""
    commits, writer = held
    writer.failure = StoreUnavailable("full")
    writer.go.set()
    failed = await asyncio.gather(*(commits.submit(_nothing) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in failed] == [StoreUnavailable] * 3
    writer.failure = None
    assert await commits.submit(_nothing) == 0


async def test_a_cancelled_request_is_dropped_while_it_waits(held: tuple[GroupCommit, Writer]) -> None:
    """Its caller is gone: writing it would only wear the flash, and its place in the queue is free."""
    commits, writer = held
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(commits.submit(_nothing))
        await until(lambda: commits.submitted == 1 and not commits.queued_rows)
        waiting = [tasks.create_task(commits.submit(_nothing)) for _ in range(4)]
        await until(lambda: commits.queued_rows == 4)
        waiting[0].cancel()
        waiting[2].cancel()
        await asyncio.sleep(0)
        writer.go.set()
    assert writer.sizes == [1, 2]
    assert commits.queued_rows == 0


async def test_a_closed_queue_takes_nothing(executor: ThreadPoolExecutor) -> None:
    """A late request must get an answer, not wait for a thread that is gone."""
    writer = Writer()
    commits = GroupCommit(writer.commit, executor, 10, time.time)
    await commits.aclose()
    with pytest.raises(StoreClosed):
        await commits.submit(_nothing)
