"""The OLTC controller as others see it: steps, refusals, lock-out, and a grid that is away or disagrees."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gridlink import Module, Refused, request, subscribe
from gridlink.errors import ConfigInvalid
from gridlink.testing import eventually
from oltc_controller.api import GridTap, TapChanged, TapPosition
from tests.modules.voltage_problem_handler.site import Site, open_site


class Grid(Module[None]):
    """A grid that does what it is told, or fails."""

    roles = ("grid",)
    tap: ClassVar[list[int]] = [0]
    failing: ClassVar[list[bool]] = [False]
    steps: ClassVar[list[int]] = []
    told: ClassVar[list[TapChanged]] = []

    @request("getState")
    async def get_state(self) -> GridTap:
        return GridTap(self.tap[0])

    @request("setTapPosition")
    async def set_tap_position(self, wanted: TapPosition) -> GridTap:
        self.tap[0] = wanted.position
        self.steps.append(wanted.position)
        if self.failing[0]:
            raise Refused("made, but not answered")
        return GridTap(wanted.position)

    @subscribe("tap_position", "tapChanged")
    async def on_tap_changed(self, changed: TapChanged) -> None:
        self.told.append(changed)


@pytest.fixture(autouse=True)
def fresh_grid() -> None:
    """Each test begins with a grid at 0 that works."""
    Grid.tap[0], Grid.failing[0] = 0, False
    Grid.steps.clear()
    Grid.told.clear()


async def at_rest(site: Site) -> dict[str, Any]:
    """Wait until nothing moves; returns the state."""
    state: dict[str, Any] = {}

    async def still() -> bool:
        state.update(await site.ask("oltc", "getTapPosition"))
        return not state["moving"]

    await eventually(still)
    return state


async def test_a_command_is_answered_at_once_and_done_step_by_step(tmp_path: Path) -> None:
    """The grid sees single steps, the topic tells each, the counter counts."""
    async with open_site(tmp_path) as site:
        site.clock.lead(0.0, 1000.0, "test")
        await site.run(Grid, "grid")
        await site.start("oltc_controller")
        begun_s = site.clock.now()
        answer = await site.ask("oltc", "setTapPosition", {"position": 3})
        state = await at_rest(site)
        took_s = site.clock.now() - begun_s
    assert (answer["position"], answer["target"], answer["moving"]) == (0, 3, True)
    assert (state["position"], state["target"], state["operations"]) == (3, 3, 3)
    assert Grid.steps == [1, 2, 3]
    assert [(told.previous, told.position, told.operations) for told in Grid.told] == [(0, 1, 1), (1, 2, 2), (2, 3, 3)]
    assert took_s >= 15.0  # three steps of 5 s


async def test_the_grids_position_is_read_at_start(tmp_path: Path) -> None:
    """Where the tap changer really stands goes before what was kept."""
    Grid.tap[0] = -2
    async with open_site(tmp_path) as site:
        await site.run(Grid, "grid")
        await site.start("oltc_controller")
        state = await site.ask("oltc", "getTapPosition")
    assert (state["position"], state["operations"], state["moving"]) == (-2, 0, False)


async def test_without_a_grid_it_starts_and_refuses_to_move_until_there_is_one(tmp_path: Path) -> None:
    """Blind driving is refused; no restart is needed afterwards."""
    async with open_site(tmp_path) as site:
        site.clock.lead(0.0, 1000.0, "test")
        await site.start("oltc_controller")
        with pytest.raises(Refused, match=r"expected role grid.*start the data generator"):
            await site.ask("oltc", "setTapPosition", {"position": 1})
        await site.run(Grid, "grid")
        await site.ask("oltc", "setTapPosition", {"position": 1})
        assert (await at_rest(site))["position"] == 1


async def test_out_of_range_and_locked_out_are_refused(tmp_path: Path) -> None:
    """With what was expected, what came and what to do."""
    async with open_site(tmp_path) as site:
        await site.run(Grid, "grid")
        await site.start("oltc_controller")
        with pytest.raises(Refused, match="from -4 to 4, came 9"):
            await site.ask("oltc", "setTapPosition", {"position": 9})
        await site.ask("oltc", "lockOut", {"reason": "maintenance"})
        with pytest.raises(Refused, match=r"maintenance.*release"):
            await site.ask("oltc", "setTapPosition", {"position": 1})
    assert Grid.steps == []


async def test_a_lock_out_and_the_counter_survive_a_restart(tmp_path: Path) -> None:
    """Somebody may be working at the transformer."""
    async with open_site(tmp_path) as site:
        site.clock.lead(0.0, 1000.0, "test")
        await site.run(Grid, "grid")
        await site.start("oltc_controller")
        await site.ask("oltc", "setTapPosition", {"position": 2})
        await at_rest(site)
        await site.ask("oltc", "lockOut", {"reason": "maintenance"})
        await site.stop("oltc_controller")
        await site.start("oltc_controller")
        state = await site.ask("oltc", "getTapPosition")
        released = await site.ask("oltc", "release")
    assert (state["operations"], state["lockedOut"], state["lockOutReason"]) == (2, True, "maintenance")
    assert (released["lockedOut"], released["lockOutReason"]) == (False, None)


async def test_too_many_operations_lock_it_out(tmp_path: Path) -> None:
    """By itself, in the middle of a drive."""
    async with open_site(tmp_path) as site:
        site.clock.lead(0.0, 1000.0, "test")
        await site.run(Grid, "grid")
        await site.start("oltc_controller", max_operations_per_hour=2)
        await site.ask("oltc", "setTapPosition", {"position": 4})
        state = await at_rest(site)
    assert (state["position"], state["target"], state["lockedOut"]) == (3, 3, True)
    assert "3 operations within an hour" in state["lockOutReason"]


async def test_a_step_that_fails_stops_the_drive_and_the_grid_is_asked_again(tmp_path: Path) -> None:
    """Whether the step was made is for the grid to tell; then it counts."""
    async with open_site(tmp_path) as site:
        site.clock.lead(0.0, 1000.0, "test")
        await site.run(Grid, "grid")
        await site.start("oltc_controller")
        Grid.failing[0] = True
        await site.ask("oltc", "setTapPosition", {"position": 3})
        stopped = await at_rest(site)
        Grid.failing[0] = False
        await site.ask("oltc", "setTapPosition", {"position": 2})
        state = await at_rest(site)
    assert (stopped["position"], stopped["target"]) == (0, 0)
    assert Grid.steps == [1, 2]
    assert (state["position"], state["operations"]) == (2, 2)


async def test_it_is_busy_while_it_drives_and_a_stop_finishes_and_counts_the_step(tmp_path: Path) -> None:
    """A step that the grid makes while the module ends would be missing from the counter for good."""
    held, asked = asyncio.Event(), asyncio.Event()

    class SlowGrid(Grid):
        """Takes its time for a step."""

        @request("setTapPosition")
        async def set_tap_position(self, wanted: TapPosition) -> GridTap:
            asked.set()
            await held.wait()
            return await super().set_tap_position(wanted)

    async with open_site(tmp_path) as site:
        site.clock.lead(0.0, 1000.0, "test")
        await site.run(SlowGrid, "grid")
        await site.start("oltc_controller")
        controller: Any = site.module("oltc_controller")
        assert await controller.busy() is None
        await site.ask("oltc", "setTapPosition", {"position": 3})
        assert await controller.busy() == "the tap changer moves from 0 to 3"
        async with asyncio.timeout(5):
            await asked.wait()
        stopping = asyncio.get_running_loop().create_task(site.stop("oltc_controller"))
        await eventually(lambda: controller._ending)
        held.set()
        await stopping
        assert Grid.steps == [1]
        await site.start("oltc_controller")
        state = await site.ask("oltc", "getTapPosition")
    assert (state["position"], state["target"], state["operations"]) == (1, 1, 1)


async def test_new_limits_hold_from_the_next_command_on(tmp_path: Path) -> None:
    """And a mechanism that can't be is refused, the old limits stay."""
    async with open_site(tmp_path) as site:
        await site.run(Grid, "grid")
        await site.start("oltc_controller")
        await site.configure("oltc_controller", {"max_position": 1})
        with pytest.raises(ConfigInvalid, match="expected min < max"):
            await site.configure("oltc_controller", {"min_position": 4, "max_position": 1})
        with pytest.raises(Refused, match="from -4 to 1, came 2"):
            await site.ask("oltc", "setTapPosition", {"position": 2})
