"""Checkpoints of running modules: taken, written where they have changed, given to the next instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gridlink import Module, request, testing
from gridlink.errors import StartFailed
from gridlink.node.checkpoints import Keeper, States
from gridlink.node.checkpoints.form import unpack
from gridlink.testing import Site, eventually


@dataclass(frozen=True)
class State:
    """What a counter goes on from."""

    count: int
    last: str = ""


class Counter(Module[None]):
    """Counts."""

    roles = ("counter",)
    breaks = ""

    def __init__(self) -> None:
        self.state = State(0)

    async def start(self) -> None:
        if self.breaks == "start" and self.state.count:
            raise ValueError("no start from that")

    async def snapshot(self) -> State:
        if self.breaks == "snapshot":
            raise ValueError("not now")
        return self.state

    async def restore(self, state: State) -> None:
        if self.breaks == "restore":
            raise ValueError("not that")
        self.state = state

    @request("count")
    async def count(self) -> int:
        self.state = State(self.state.count + 1, "count")
        return self.state.count


class Stateless(Module[None]):
    """Has nothing to keep."""


@asynccontextmanager
async def kept(directory: Path, every_s: float = 3600.0, **options: Any) -> AsyncIterator[Site]:
    """A node that keeps states; the task that takes them runs."""
    async with testing.site(directory) as site:
        site.node.keeper = Keeper(States(directory / "states"), every_s, **options)
        taking = asyncio.get_running_loop().create_task(site.node.keeper.run(site.node.instances.values()))
        try:
            yield site
        finally:
            taking.cancel()


async def test_what_a_killed_process_left_of_writing_one_is_removed(tmp_path: Path) -> None:
    """Up to a MiB a kill, for ever, on a flash of a few hundred; what others have there stays."""
    states = tmp_path / "states"
    states.mkdir()
    names = (".counter.bee368353571", ".counter_2.bee368353571", ".counter.old", "counter_2", "counter.refused")
    for name in names:
        (states / name).write_bytes(b"half")
    async with kept(tmp_path) as site:
        await site.host(Counter, name="counter")
        assert {path.name for path in states.iterdir()} == set(names[1:])


async def test_what_was_counted_survives_a_crash(tmp_path: Path) -> None:
    """The process just goes, without a stop: the last checkpoint is what is left."""
    async with kept(tmp_path, every_s=0.05) as site:
        await site.host(Counter, name="counter")
        assert [await site.request("counter", "count") for _ in range(3)] == [1, 2, 3]
        file = tmp_path / "states" / "counter"
        await eventually(lambda: file.exists() and b'"count":3' in file.read_bytes())
        crashed = file.read_bytes()
    file.write_bytes(crashed)  # not what the stop wrote
    async with kept(tmp_path) as site:
        await site.host(Counter, name="counter")
        assert await site.request("counter", "count") == 4


async def test_a_stop_takes_the_last_one(tmp_path: Path) -> None:
    """Nothing is lost by an end in order, however long ago the last was taken."""
    for expected in (1, 2, 3):
        async with kept(tmp_path) as site:
            await site.host(Counter, name="counter")
            assert await site.request("counter", "count") == expected


async def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    """Flash wears."""
    async with kept(tmp_path, every_s=0.02) as site:
        await site.host(Counter, name="counter")
        await site.request("counter", "count")
        file = tmp_path / "states" / "counter"
        await eventually(file.exists)
        written, since = site.node.keeper.written_bytes if site.node.keeper else 0, file.stat().st_mtime_ns
        await asyncio.sleep(0.2)
        assert site.node.keeper is not None
        assert (site.node.keeper.written_bytes, file.stat().st_mtime_ns) == (written, since)
        await site.request("counter", "count")
        await eventually(lambda: file.stat().st_mtime_ns != since)


async def test_writing_stays_within_the_budget(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and the stop writes all the same."""
    async with kept(tmp_path, every_s=0.02, bytes_a_day=24 * 8192) as site:
        await site.host(Counter, name="counter")
        for _ in range(10):
            await site.request("counter", "count")
            await asyncio.sleep(0.03)
    assert caplog.text.count("the flash budget of checkpoints is used up") == 1
    assert b'"count":10' in (tmp_path / "states" / "counter").read_bytes()


@pytest.mark.parametrize("content", [b"", b"rubbish", b'{"form":1}\n'])
async def test_a_damaged_one_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """A module begins afresh rather than from half a state, and the file is there for whoever looks into it."""
    states = tmp_path / "states"
    states.mkdir()
    (states / "counter").write_bytes(content)
    async with kept(tmp_path) as site:
        await site.host(Counter, name="counter")
        assert await site.request("counter", "count") == 1
    assert (states / "counter.refused").read_bytes() == content
    assert "it begins afresh" in caplog.text


@pytest.mark.parametrize(("breaks", "failures"), [("restore", 1), ("start", 2)])
async def test_one_that_the_module_does_not_start_from_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, failures: int
) -> None:
    """One it refuses at once; one that it fails after only the second time, as it may fail for another reason."""
    async with kept(tmp_path) as site:
        await site.host(Counter, name="counter")
        await site.request("counter", "count")
    monkeypatch.setattr(Counter, "breaks", breaks)
    async with kept(tmp_path) as site:
        for _ in range(failures):
            with pytest.raises(StartFailed):
                await site.host(Counter, name="counter")
        await site.host(Counter, name="counter")
        assert await site.request("counter", "count") == 1


async def test_a_snapshot_that_fails_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the author's code; the module runs on."""
    async with kept(tmp_path) as site:
        await site.host(Counter, name="counter")
        await site.request("counter", "count")
    monkeypatch.setattr(Counter, "breaks", "snapshot")
    async with kept(tmp_path, every_s=0.02) as site:
        await site.host(Counter, name="counter")
        assert await site.request("counter", "count") == 2
        await eventually(lambda: "Counter.snapshot(): ValueError: not now" in caplog.text)
        assert await site.request("counter", "count") == 3
    assert unpack((tmp_path / "states" / "counter").read_bytes(), "").state == b'{"count":1,"last":"count"}'


async def test_a_module_without_a_state_writes_nothing(tmp_path: Path) -> None:
    """Most have none."""
    async with kept(tmp_path, every_s=0.02) as site:
        await site.host(Stateless, name="stateless")
        await asyncio.sleep(0.1)
    assert not (tmp_path / "states").exists()


async def test_a_damaged_one_that_can_not_be_put_aside_keeps_no_module_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that has turned read-only, say."""
    states = tmp_path / "states"
    (states / "counter.refused" / "in the way").mkdir(parents=True)
    (states / "counter").write_bytes(b"nothing")
    async with kept(tmp_path) as site:
        await site.host(Counter, name="counter")
        assert await site.request("counter", "count") == 1
    assert "it begins afresh, the checkpoint is left where it is: " in caplog.text
