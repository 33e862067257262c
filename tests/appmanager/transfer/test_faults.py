"""A transfer goes on where it was, whatever dies on its way; at most one chunk comes twice for each fault."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind, Step
from appmanager.provisioning.plan import Order, Plan
from appmanager.store.disk import RealDisk
from appmanager.store.incoming import SYNC_BYTES
from appmanager.store.layout import Layout
from appmanager.transfer import waiting
from appmanager.transfer.fetching import fetch
from appmanager.transfer.putting import put
from appmanager.transfer.reference import CHUNK_BYTES, reference_in
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.nats import NatsBus
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.appmanager.packed.making import files_of, packed
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.transfer.conftest import SITE, content, fill
from tests.appmanager.transfer.watching import Line, delivered_to
from tests.gridlink.store import Store

DISK = RealDisk()
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that went to a server which was killed is asked again sooner, so that tests are short."""
    monkeypatch.setattr(waiting, "ANSWER_WITHIN_S", 0.5)
    monkeypatch.setattr(waiting, "LEAST_S", 0.5)


async def revived_whenever_killed(store: Store, marks: list[int], done: Callable[[], int]) -> None:
    """Kills the JetStream server at each mark of what is done, and starts it again."""
    for mark in marks:
        await eventually(lambda mark=mark: done() >= mark, timeout_s=20)  # type: ignore[misc]
        store.kill_leaf()
        await asyncio.to_thread(store.leaf.start)


async def test_the_store_is_killed_three_times_while_a_board_fetches(
    store: Store, desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """`kill -9`, as a power cut would be."""
    fill(glb, os.urandom(96 * CHUNK_BYTES + 5))  # more than a second's worth, which comes at once
    reference, into, tasks = await put(desk, SITE, glb), tmp_path / "incoming" / "lamp.glb", Tasks("killer")
    received = [0]
    marks = [reference.size_bytes * part // 4 for part in (1, 2, 3)]
    async with delivered_to("board", desk) as delivered:
        killer = tasks.spawn(revived_whenever_killed(store, marks, lambda: received[-1]), name="killer", awaited=True)
        await fetch(board, SITE, reference, DISK, into, bytes_a_s=8_000_000, progress=received.append)
        await killer
        assert content(into) == content(glb)
        assert delivered.total_bytes <= reference.size_bytes + 3 * CHUNK_BYTES
    await tasks.aclose()


async def test_the_store_is_killed_three_times_while_an_operator_puts(
    store: Store, desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """What it has on its disk isn't sent again."""
    fill(glb, os.urandom(400 * CHUNK_BYTES))
    killed = 0

    def kill_now_and_then(sent_bytes: int, size_bytes: int) -> None:
        nonlocal killed
        if killed < 3 and sent_bytes > (killed + 1) * size_bytes // 4:
            killed += 1
            store.kill_leaf()
            store.leaf.start()

    reference = await put(desk, SITE, glb, progress=kill_now_and_then)
    assert killed == 3
    await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb")
    assert content(tmp_path / "lamp.glb") == content(glb)


async def test_a_line_that_is_cut_costs_a_chunk_at_most(
    store: Store, desk: JetStream, glb: Path, tmp_path: Path
) -> None:
    """The connection breaks, and comes back after a while."""
    reference, line, tasks = await put(desk, SITE, glb), Line(store.url), Tasks("cutter")
    await line.mend()
    bus = NatsBus(SITE, "far")
    await bus.connect(line.url)
    received, reasons = [0], list[str]()

    async def cut_and_mend() -> None:
        await eventually(lambda: received[-1] > reference.size_bytes // 2)
        await line.cut()
        await eventually(lambda: bool(reasons))
        await line.mend()

    async with delivered_to("far", desk) as delivered:
        cutter = tasks.spawn(cut_and_mend(), name="cutter", awaited=True)
        await fetch(
            JetStream(bus.raw()), SITE, reference, DISK, tmp_path / "lamp.glb",
            bytes_a_s=2_000_000, progress=received.append, waiting=reasons.append,
        )  # fmt: skip
        await cutter
        assert content(tmp_path / "lamp.glb") == content(glb)
        assert "connection to the bus is down" in reasons[0]
        assert delivered.total_bytes <= reference.size_bytes + CHUNK_BYTES
    await bus.aclose()
    await tasks.aclose()
    await line.aclose()


async def test_a_store_that_is_silent_for_a_while_is_asked_again(
    store: Store, desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """It doesn't answer, and nothing says that it is gone."""
    reference, reasons, tasks = await put(desk, SITE, glb), list[str](), Tasks("waker")
    os.kill(store.leaf.pid, signal.SIGSTOP)

    async def wake() -> None:
        await eventually(lambda: bool(reasons))
        os.kill(store.leaf.pid, signal.SIGCONT)

    waker = tasks.spawn(wake(), name="waker", awaited=True)
    await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb", waiting=reasons.append)
    await waker
    assert "no answer" in reasons[0]
    assert content(tmp_path / "lamp.glb") == content(glb)
    await tasks.aclose()


async def test_a_link_that_stays_away_is_waited_for_until_time_is_up_and_what_came_is_kept(
    store: Store, desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """The next command goes on from there."""
    reference, into = await put(desk, SITE, glb), tmp_path / "incoming" / "lamp.glb"
    received, reasons = list[int](), list[str]()

    def kill_at_half(received_bytes: int) -> None:
        received.append(received_bytes)
        if store.leaf.pid and received_bytes > reference.size_bytes // 2:
            store.kill_leaf()

    async with delivered_to("board", desk) as delivered:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await fetch(board, SITE, reference, DISK, into, progress=kill_at_half, waiting=reasons.append)
        assert "JetStream server up" in reasons[-1]
        assert delivered.total_bytes < reference.size_bytes
        await asyncio.to_thread(store.leaf.start)
        await fetch(board, SITE, reference, DISK, into)
        assert content(into) == content(glb)
        assert delivered.total_bytes == reference.size_bytes


async def test_a_store_that_was_lost_and_is_filled_anew_serves_the_rest(
    store: Store, desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """Its disk was replaced, and its messages are numbered from 1 again, in another order."""
    reference, into = await put(desk, SITE, glb), tmp_path / "lamp.glb"

    def kill_at_half(received_bytes: int) -> None:
        if received_bytes > reference.size_bytes // 2:
            store.kill_leaf()

    async with delivered_to("board", desk) as delivered:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await fetch(board, SITE, reference, DISK, into, progress=kill_at_half)
        shutil.rmtree(tmp_path / "servers" / "jetstream" / "store")
        await asyncio.to_thread(store.leaf.start)
        other = tmp_path / "other.glb"
        fill(other, b"another file that takes the first number")
        await put(desk, SITE, other)
        assert await put(desk, SITE, glb) == reference
        await fetch(board, SITE, reference, DISK, into)
        assert content(into) == content(glb)
        assert delivered.total_bytes == reference.size_bytes


_FETCHING = """
import asyncio, sys
from pathlib import Path
from appmanager.store.disk import RealDisk
from appmanager.transfer.fetching import fetch
from appmanager.transfer.reference import reference_in
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.nats import NatsBus

async def main(url, source, into):
    bus = NatsBus("test", "board")
    await bus.connect(url)
    await fetch(JetStream(bus.raw()), "test", reference_in(source), RealDisk(), Path(into), bytes_a_s=2_000_000)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_board_that_is_killed_while_it_fetches_goes_on_from_what_is_synced(
    store: Store, desk: JetStream, board: JetStream, glb: Path, tmp_path: Path
) -> None:
    """`kill -9` of the process that receives: a MiB comes again at most, and the chunk that was on its way."""
    fill(glb, os.urandom(48 * CHUNK_BYTES))
    reference, into = await put(desk, SITE, glb), tmp_path / "incoming" / "lamp.glb"
    async with delivered_to("board", desk) as delivered:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _FETCHING, store.url, reference.spelled(), str(into), cwd=ROOT
        )
        await eventually(lambda: delivered.total_bytes > reference.size_bytes // 2, timeout_s=20)
        process.kill()
        await process.wait()
        assert delivered.total_bytes < reference.size_bytes
        await fetch(board, SITE, reference, DISK, into)
        assert content(into) == content(glb)
        assert delivered.total_bytes <= reference.size_bytes + SYNC_BYTES + CHUNK_BYTES


class _Board(PlainHost):
    """Receives from a store, as the AppManager does."""

    jetstream: JetStream

    async def receive(self, plan: Plan, into: Path) -> None:
        reference = reference_in(plan.order.source)
        assert reference is not None
        await fetch(self.jetstream, SITE, reference, self.disk, into)


async def test_an_order_comes_through_a_store_and_what_had_come_of_one_that_expired_is_kept(
    store: Store, desk: JetStream, board: JetStream, tmp_path: Path
) -> None:
    """By the engine that carries out real commands."""
    layout = Layout(tmp_path / "managed")
    layout.managed.mkdir()
    host = _Board(DISK, layout)
    host.jetstream = board
    engine = Engine(DISK, layout, host)
    file = tmp_path / "lamp-1.0.0.glb"
    body, digest = packed(tmp_path, files_of())
    fill(file, body)
    source = (await put(desk, SITE, file)).spelled()
    store.kill_leaf()
    outcome = await engine.run(Order("1", Kind.INSTALL, "lamp", digest, source, expires_s=0.7))
    assert (outcome.end, outcome.step) == (End.REFUSED, Step.RECEIVE)
    assert "did not come within 0.7 s" in outcome.reason
    assert {path.name for path in (layout.own / "incoming").iterdir()} == {"lamp.glb", "lamp.glb.progress"}
    await asyncio.to_thread(store.leaf.start)
    outcome = await engine.run(Order("2", Kind.INSTALL, "lamp", digest, source))
    assert outcome.end is End.DONE, outcome
    assert host.running["lamp"].version == "1.0.0"
