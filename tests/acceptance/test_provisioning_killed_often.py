"""Everything of a node is killed, again and again, at random moments of real provisioning; each next start mends it.

A lane is a managed directory, killed and started over and over; there is one a mode, side by side. Each start is looked
at whole before the next command: the files, what runs, its state and configuration, the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from appmanager.orders import BundleOrder, ConfigureOrder, History, HistoryOrder, RollbackOrder, UninstallOrder
from appmanager.provisioning.machine import STEPS, Kind
from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.ordering import asked, files_below, glb_of, new
from tests.acceptance.running import Running, running
from tests.acceptance.test_provisioning import MODES, leftovers, source

KILLS = int(os.environ.get("GRIDLINK_KILLS", "500"))
SEED = int(os.environ.get("GRIDLINK_SEED", "0")) or secrets.randbelow(2**31) + 1
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
KINDS = {"update": 6, "configure": 3, "rollback": 3, "uninstall": 2}
COMMAND_S, STEP_S, START_S = 3.5, 0.1, 1.0  # kills fall so long after a command, one of its steps, a start is begun
MENDED_WITHIN_S = 60.0
MORE = """
    @request("values")
    async def values(self) -> tuple[str, int, int]:
        return ("{version}", self.count, self.config.step)
"""


@dataclass
class Lane:
    """A managed directory, and what is known of its module. `version` is empty where it isn't installed."""

    mode: str
    managed: Path
    orders: Mapping[str, tuple[BundleOrder, dict[str, bytes]]]
    rng: random.Random
    version: str = ""
    count: int = 0
    step: int = 1
    kills: int = 0
    done: Counter[str] = field(default_factory=Counter)
    undone: Counter[str] = field(default_factory=Counter)


def prepared(directory: Path, mode: str) -> Lane:
    """A lane with its packed bundles and an empty managed directory."""
    orders = {}
    for version in VERSIONS:
        made = source(directory, version, mode, more=MORE.format(version=version))
        orders[version] = (glb_of(made, version), files_below(made))
    managed = directory / "managed"
    (managed / ".gridlink" / "journal").mkdir(parents=True)  # as after an uninstall: it holds nothing, and yet starts
    return Lane(mode, managed, orders, random.Random(f"{SEED} {mode}"))


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_everything_is_killed_five_hundred_times_in_all_commands_and_modes(tmp_path: Path) -> None:
    """One version, whole, with its state and configuration; the same seed gives the same commands and moments."""
    print(f"GRIDLINK_SEED={SEED}: {KILLS} kills")
    lanes = [prepared(tmp_path / mode, mode) for mode in MODES]
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(_killed_often(lane, lambda: sum(one.kills for one in lanes)))
    for lane in lanes:
        print(f"mode {lane.mode}: {lane.kills} kills; new {dict(lane.done)}, old {dict(lane.undone)}")
    kinds = {kind for lane in lanes for kind in (*lane.done, *lane.undone)}
    assert KILLS < 100 or kinds == {"install", *KINDS}


async def _killed_often(lane: Lane, kills: Callable[[], int]) -> None:
    kind, order = "", None
    while kills() < KILLS:
        (lane.managed / ".gridlink" / "node.json").unlink(missing_ok=True)
        try:
            async with running(lane.managed, "--checkpoint-every", "0.2") as node:
                if lane.rng.random() < 0.25:  # the power comes, and goes again
                    await asyncio.sleep(lane.rng.uniform(0, START_S))
                    _kill(node, lane)
                    continue
                where = f"seed {SEED}, mode {lane.mode}, kill {lane.kills}, {kind} {order}"
                await _checked(node, lane, kind, order, where)
                kind, order = _next(lane)
                await _killed_in(node, lane, kind, order)
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, mode {lane.mode}, kill {lane.kills}: {error}") from error
        _said_nothing_bad(lane)


def _next(lane: Lane) -> tuple[str, Any]:
    """The next command, and its order."""
    rng, number = lane.rng, secrets.token_hex(8)
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0] if lane.version else "install"
    if kind in ("install", "update"):
        version = rng.choice([one for one in VERSIONS if one != lane.version])
        return kind, new(lane.orders[version][0], older=kind == "update")
    if kind == "configure":
        return kind, ConfigureOrder(
            number, "counter", settings={"step": rng.choice([n for n in range(1, 9) if n != lane.step])}
        )
    return kind, RollbackOrder(number, "counter", keep_state=True) if kind == "rollback" else UninstallOrder(
        number, "counter"
    )


async def _killed_in(node: Running, lane: Lane, kind: str, order: Any) -> None:
    manager = _manager(node)
    asking = asyncio.ensure_future(asked(node.sender, manager, kind, order))  # noqa: TID251
    await _moment(lane, kind, asking)
    _kill(node, lane)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError, GridlinkError):
        await asking


async def _moment(lane: Lane, kind: str, asking: asyncio.Future[Any]) -> None:
    """Returns at a random moment of the command: after its beginning, or just after a step of it was begun."""
    journal, by_step = lane.managed / ".gridlink" / "journal" / "counter", lane.rng.random() < 0.5
    step = lane.rng.choice(STEPS[Kind(kind)])
    wanted = f'"step":"{step}"'.encode() if by_step else b""

    def is_there() -> bool:
        try:
            return asking.done() or wanted in journal.read_bytes()
        except FileNotFoundError:
            return False

    with contextlib.suppress(TimeoutError):
        await eventually(is_there, timeout_s=20)
    await asyncio.sleep(lane.rng.uniform(0, STEP_S if by_step else COMMAND_S))


def _kill(node: Running, lane: Lane) -> None:
    guardian = psutil.Process(node.process.pid)
    for process in [guardian, *guardian.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    node.process.wait()
    lane.kills += 1


def _manager(node: Running) -> str:
    return f"appmanager@{node.file['node']}"


async def _checked(node: Running, lane: Lane, kind: str, order: Any, where: str) -> None:
    """The old or the new, whole; what there is becomes what is known, and it counts one more, durably."""
    await node.all_running("appmanager", within_s=MENDED_WITHIN_S)
    await eventually(lambda: leftovers(lane.managed) == [], timeout_s=MENDED_WITHIN_S)
    history = await node.sender.request(
        _manager(node), "history", HistoryOrder(last=1, verify=True), reply=History, timeout_s=20
    )
    assert history.verified is not None, where
    before = (lane.version, lane.count, lane.step)
    place = lane.managed / "counter"
    found = ("", 0, 1)
    if place.exists():
        await node.all_running("counter", within_s=MENDED_WITHIN_S)
        found = await _until(partial(_values, node))
        _whole(lane, place, found, where)
    _expected(lane, kind, order, before, found, where)
    lane.version, lane.count, lane.step = found
    if lane.version:
        await _count(node, lane)


def _whole(lane: Lane, place: Path, found: tuple[str, int, int], where: str) -> None:
    """The files are those of the version that answers, each byte of them."""
    wanted = lane.orders[found[0]][1]
    files = {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    files.pop(".contents.json")
    config = files.pop("config.json", b"{}")
    assert files == {name: body for name, body in wanted.items() if name != "config.json"}, where
    assert json.loads(config).get("step", 1) == found[2], where


def _expected(
    lane: Lane, kind: str, order: Any, old: tuple[str, int, int], found: tuple[str, int, int], where: str
) -> None:
    """Whether what is found is what was, or what the command makes of it."""
    if not kind:
        return
    if found == old:
        lane.undone[kind] += 1
        return
    told = f"{where}: was {old}, found {found}"
    lane.done[kind] += 1
    match kind:
        case "install":
            assert found == (_version(lane, order), 0, 1), told
        case "update":
            assert found == (_version(lane, order), old[1], old[2]), told
        case "configure":
            assert found == (old[0], old[1], order.settings["step"]), told
        case "rollback":  # the configuration is that version's own
            assert found[0] in VERSIONS, told
            assert found[1] == old[1], told
        case _:
            assert found == ("", 0, 1), told


def _version(lane: Lane, order: BundleOrder) -> str:
    return next(version for version, (one, _) in lane.orders.items() if one.digest == order.digest)


async def _count(node: Running, lane: Lane) -> None:
    await node.sender.request("counter", "add", timeout_s=10)
    lane.count += lane.step
    checkpoint = lane.managed / ".gridlink" / "states" / "counter"
    ends = f"\n{lane.count}".encode()
    await eventually(lambda: checkpoint.exists() and checkpoint.read_bytes().endswith(ends), timeout_s=20)


async def _values(node: Running) -> tuple[str, int, int] | None:
    try:
        found: tuple[str, int, int] = await node.sender.request(
            "counter", "values", reply=tuple[str, int, int], timeout_s=2
        )
    except GridlinkError:
        return None
    return found


async def _until(ask: Callable[[], Awaitable[tuple[str, int, int] | None]]) -> tuple[str, int, int]:
    found: tuple[str, int, int] | None = await eventually(ask, timeout_s=MENDED_WITHIN_S)
    assert found is not None
    return found


def _said_nothing_bad(lane: Lane) -> None:
    """No exception of ours in what the node has printed."""
    output = lane.managed.with_name(f"{lane.managed.name}.out").read_text()
    assert "Traceback" not in output, output
