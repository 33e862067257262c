"""A machine's wall clock is set while its node runs: ten years back and ahead, to 1970, and right again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import structs

from appmanager.orders import BundleOrder, ConfigureOrder, Ended, RollbackOrder, RunOrder, UninstallOrder
from gridlink.testing import eventually
from tests.acceptance.ordering import asked, glb_of, new
from tests.acceptance.running import LONG, Running, bundle, running
from tests.acceptance.test_provisioning import (
    COUNTER,
    MODES,
    PROGRAM,
    answer,
    counted,
    done,
    gridlink,
    leftovers,
    source,
)
from tests.acceptance.test_signed_commands import lists, recorded
from tests.acceptance.wall_clock import TEN_YEARS_S, WallClock, to_1970
from tests.appmanager.operators.keys import person

SEED = int(os.environ.get("GRIDLINK_SEED", "0")) or secrets.randbelow(2**31) + 1
ROUNDS = 3
EVERY_S = 0.01
SILENT_S = 3.0  # no timer of a module is quiet for so long, on a busy machine
TICKING = """
    ticks, ticked_s, longest_s = 0, 0.0, 0.0

    @every(seconds=0.1)
    async def tick(self) -> None:
        now_s = time.monotonic()
        if self.ticks:
            self.longest_s = max(self.longest_s, now_s - self.ticked_s)
        self.ticks, self.ticked_s = self.ticks + 1, now_s

    @request("ticked")
    async def ticked(self) -> tuple[int, float, float]:
        return (self.ticks, max(self.longest_s, time.monotonic() - self.ticked_s), self.clock.now())
"""


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """The machine's."""
    return WallClock(tmp_path)


def prepared(tmp_path: Path, mode: str) -> Path:
    """A managed directory with a module that ticks."""
    managed = tmp_path / "managed"
    code = COUNTER.format(version="1.0.0", top="import time", more=TICKING).replace('("counter",)', '("lamp",)')
    bundle(managed, "lamp", code, mode=mode)
    return managed


def versions(tmp_path: Path, mode: str) -> dict[str, BundleOrder]:
    """The counter, packed, in two versions."""
    return {one: glb_of(source(tmp_path, one, mode), one) for one in ("1.0.0", "1.1.0")}


async def ticked(node: Running) -> tuple[int, float, float]:
    """How often the lamp has ticked, its longest silence, and its site time."""
    found: tuple[int, float, float] = await node.sender.request(
        "lamp", "ticked", reply=tuple[int, float, float], timeout_s=5
    )
    return found


async def goes_with(node: Running, clock: WallClock) -> bool:
    """Whether the lamp's time is the wall clock's."""
    return abs((await ticked(node))[2] - clock.now_s()) < 1


def complaints(managed: Path) -> list[str]:
    """What the processes of the node have logged that is no everyday matter."""
    lines = [line for file in (managed / ".gridlink" / "logs").glob("*.log*") for line in file.read_text().splitlines()]
    return [line for line in lines if "INFO" not in line and "DEBUG" not in line]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", MODES)
async def test_commands_are_carried_out_while_the_clock_jumps(tmp_path: Path, clock: WallClock, mode: str) -> None:
    """A hundred times a second. Each is done, nobody is thought to hang, and the record keeps the order by numbers."""
    print(f"GRIDLINK_SEED={SEED}")
    managed, bundles = prepared(tmp_path, mode), versions(tmp_path, mode)
    async with running(managed, *LONG, environment=clock.environment) as node:
        await node.all_running("lamp")
        (lamp,) = [entry for entry in node.registry.instances() if entry.name == "lamp"]
        manager, count = f"appmanager@{node.file['node']}", 0
        commands: list[tuple[str, Any, str]] = [
            ("install", structs.replace(bundles["1.0.0"], settings={"step": 1}), "1.0.0"),
            ("update", bundles["1.1.0"], "1.1.0"),
            ("configure", ConfigureOrder("", "counter", settings={"step": 1}), "1.1.0"),
            ("rollback", RollbackOrder("", "counter", keep_state=True), "1.0.0"),
            ("uninstall", UninstallOrder("", "counter", purge=True), ""),
        ]
        jumped: set[str] = set()
        async with clock.jumping(EVERY_S, random.Random(f"{SEED} {mode}")):
            for kind, order, version in commands * ROUNDS:
                before = clock.steps
                ended = await asked(node.sender, manager, kind, new(order))
                assert (ended.end, ended.reason) == ("done", ""), kind
                jumped |= {kind} if clock.steps > before else set()
                count = count + 1 if version else 0
                assert not version or await counted(node, "add") == (version, count), kind
        assert jumped == {kind for kind, _, _ in commands}
        for off_s in (-TEN_YEARS_S, TEN_YEARS_S, to_1970(), 0):  # and between two commands
            clock.step(off_s)
            await eventually(partial(goes_with, node, clock), timeout_s=5)
            for kind, order, _ in (commands[0], commands[-1]):
                assert (await asked(node.sender, manager, kind, new(order))).end == "done"
        assert leftovers(managed) == []
        entries = await recorded(managed)
        assert [entry["number"] for entry in entries] == list(range(1, len(commands) * ROUNDS + 9))
        assert [entry["kind"] for entry in entries[: len(commands)]] == [kind for kind, _, _ in commands]
        assert len({round(entry["at_s"] / TEN_YEARS_S) for entry in entries}) > 2  # it did jump
        ticks, longest_s, _ = await ticked(node)
        assert ticks > 100
        assert longest_s < SILENT_S
        (now,) = [entry for entry in node.registry.instances() if entry.name == "lamp"]
        assert (now.state, now.pid) == (lamp.state, lamp.pid)
        status, out, err = await gridlink(managed, "logs", "--site", "site", "-n", "500", "--json")
        assert (status, len({line[:4] for line in _times(out)})) == (0, 4), err
        assert complaints(managed) == []
        assert node.stop() == 0


def _times(out: str) -> list[str]:
    return [json.loads(line)["time"] for line in out.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
async def test_an_update_that_is_cut_off_is_mended_by_a_node_that_starts_in_another_decade(
    tmp_path: Path, clock: WallClock, mode: str
) -> None:
    """The power goes in the middle of it, and the board boots in 1970. Its state is there, and what waits is done."""
    managed, bundles = prepared(tmp_path, mode), versions(tmp_path, mode)
    journal, count = managed / ".gridlink" / "journal" / "counter", 0
    async with running(managed, environment=clock.environment) as node:
        await node.all_running("lamp")
        manager = f"appmanager@{node.file['node']}"
        assert (await asked(node.sender, manager, "install", new(bundles["1.0.0"]))).end == "done"
        assert node.stop() == 0
    for off_s in (to_1970(), TEN_YEARS_S, -TEN_YEARS_S, 0):
        async with running(managed, environment=clock.environment) as node:
            await node.all_running("lamp", "counter")
            count += 1
            version, found = await counted(node, "add")
            assert found == count
            checkpoint = managed / ".gridlink" / "states" / "counter"
            manager, other = f"appmanager@{node.file['node']}", "1.1.0" if version == "1.0.0" else "1.0.0"
            restart = RunOrder(secrets.token_hex(8), "counter")
            assert (await asked(node.sender, manager, "restart", restart)).end == "done"
            await eventually(partial(_ends_with, checkpoint, count), timeout_s=20)
            await eventually(partial(answer, node), timeout_s=20)
            order = new(bundles[other], older=True)
            ended = await node.sender.request(manager, "update", order, reply=Ended, timeout_s=0.2)
            waits = ConfigureOrder(secrets.token_hex(8), "counter", settings={"step": 1})
            assert (ended.end, (await _soon(node, manager, "configure", waits)).end) == ("under way", "under way")
            await eventually(lambda: b'"step":"switch"' in journal.read_bytes(), timeout_s=20)
            clock.step(off_s)
            _kill(node)
        (managed / ".gridlink" / "node.json").unlink(missing_ok=True)
        async with running(managed, environment=clock.environment) as node:
            await node.all_running("lamp", "counter")
            await eventually(lambda: leftovers(managed) == [], timeout_s=20)
            await eventually(lambda: not list((managed / ".gridlink" / "waiting").iterdir()), timeout_s=20)
            assert (await counted(node))[1] == count
            entries = await recorded(managed)
            assert (entries[-1]["id"], entries[-1]["outcome"]) == (waits.id, "done")
            assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
            assert await goes_with(node, clock)
            assert node.stop() == 0
        (managed / ".gridlink" / "node.json").unlink(missing_ok=True)


async def _soon(node: Running, manager: str, word: str, order: ConfigureOrder) -> Ended:
    found: Ended = await node.sender.request(manager, word, order, reply=Ended, timeout_s=0.2)
    return found


def _ends_with(file: Path, count: int) -> bool:
    return file.exists() and file.read_bytes().endswith(f"\n{count}".encode())


def _kill(node: Running) -> None:
    guardian = psutil.Process(node.process.pid)
    for process in [guardian, *guardian.children(recursive=True)]:
        process.send_signal(signal.SIGKILL)
    node.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_signed_command_is_refused_with_the_reason_where_the_clock_is_ahead(
    tmp_path: Path, clock: WallClock
) -> None:
    """And done where it is behind, which can't tell; one that was taken in is done though the clock jumps then."""
    managed, maria = prepared(tmp_path, "node"), person(tmp_path, "maria")
    lists(managed, maria)
    key = ("--operator-key", maria.seed_file)
    async with running(managed, environment=clock.environment) as node:
        await node.all_running("lamp")
        clock.step(TEN_YEARS_S)
        began_s = time.monotonic()
        for command in (("restart", "lamp"), ("stop", "lamp"), ("uninstall", "lamp", "--expires", "60")):
            status, _, err = await gridlink(managed, *key, *command)
            assert status == 1, err
            assert "by this machine's clock" in err
            assert "sign it anew, or set the clock" in err
        assert time.monotonic() - began_s < 30
        for off_s in (-TEN_YEARS_S, to_1970(), 0):
            clock.step(off_s)
            await done(managed, *key, "restart", "lamp")
        async with clock.jumping(EVERY_S, random.Random(SEED)):
            file = glb_of(source(tmp_path, "1.0.0", "node"), "1.0.0").source
            statuses = [await gridlink(managed, *key, "install", file, "--expires", "60")]
            while statuses[-1][0] != 0:  # it came while the clock was ahead
                assert "sign it anew, or set the clock" in statuses[-1][2]
                statuses.append(await gridlink(managed, *key, "install", file, "--expires", "60"))
        assert await counted(node, "add") == ("1.0.0", 1)
        assert [entry["kind"] for entry in await recorded(managed)] == ["restart"] * 3 + ["install"]


@pytest.mark.slow
async def test_who_follows_the_logs_of_a_site_hears_on_where_its_clock_is_set_back(
    tmp_path: Path, clock: WallClock
) -> None:
    """What they have heard is of ten years later than what comes now."""
    managed = prepared(tmp_path, "node")
    clock.step(TEN_YEARS_S)
    async with running(managed, environment=clock.environment) as node:
        await node.all_running("lamp")
        command = (PROGRAM, "-C", str(managed), "logs", "--site", "site", "-f")
        follows = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        try:
            assert follows.stdout is not None
            heard = [await follows.stdout.readline()]
            clock.step(0)
            await done(managed, "restart", "lamp")
            this_year = time.strftime("%Y-", time.gmtime()).encode()
            async with asyncio.timeout(20):
                while not heard[-1].startswith(this_year):
                    heard.append(await follows.stdout.readline())
            assert not heard[0].startswith(this_year)
            assert len(set(heard)) == len(heard)
        finally:
            follows.terminate()
            await follows.communicate()
