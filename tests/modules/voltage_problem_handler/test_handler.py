"""The whole use case on one bus, every module real. What is broken is repaired, or reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gridlink.testing import eventually
from tests.modules.voltage_problem_handler.site import Site, open_site

SPEED = 2880.0  # ten times the default: a latency of 5 ms is 14 s of site time


async def started(site: Site, *bundles: str, tap: int) -> None:
    """Start the grid at a tap position and these bundles."""
    await site.start("data_generator", speed=SPEED, tap_at_start=tap)
    for bundle in bundles:
        await site.start(bundle)


async def inside_the_band(site: Site) -> bool:
    """Whether all voltages are in the operating band."""
    state: dict[str, Any] = await site.ask("grid", "getState")
    return bool(state["lowest_pu"] >= 0.95 and state["highest_pu"] <= 1.05)


async def trouble(site: Site) -> str:
    """What the handler says keeps it from acting."""
    return (await site.ask("voltage_problem_handler", "status"))["trouble"] or ""


async def test_a_bad_tap_position_is_left_within_minutes_of_site_time(tmp_path: Path) -> None:
    """From the measurement to the tap changer and back, every module real."""
    async with open_site(tmp_path) as site:
        await started(site, "storage", "oltc_controller", "voltage_guard", "voltage_problem_handler", tap=-3)
        assert not await inside_the_band(site)

        async def settled() -> bool:
            status = await site.ask("voltage_problem_handler", "status")
            return await inside_the_band(site) and not status["problems"]

        await eventually(settled)
        status = await site.ask("voltage_problem_handler", "status")
        grid = await site.ask("grid", "getState")
    assert status["moves"] >= 1
    assert status["trouble"] is None
    assert grid["outsideEn50160_quarterHours"] < 1.0
    assert grid["tapPosition"] in (-1, 0)


async def test_a_storage_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The problem is not forgotten, and the status says what is missing."""
    async with open_site(tmp_path) as site:
        await started(site, "oltc_controller", "voltage_guard", "voltage_problem_handler", tap=-3)

        async def complains() -> bool:
            return "storage" in await trouble(site)

        await eventually(complains)
        await site.start("storage")
        await eventually(lambda: inside_the_band(site))


async def test_a_tap_changer_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The same for the role at the other end."""
    async with open_site(tmp_path) as site:
        await started(site, "storage", "voltage_guard", "voltage_problem_handler", tap=-3)

        async def complains() -> bool:
            return "oltc" in await trouble(site)

        await eventually(complains)
        await site.start("oltc_controller")
        await eventually(lambda: inside_the_band(site))


async def test_a_lock_out_is_reported_and_its_release_is_noticed(tmp_path: Path) -> None:
    """Not hammered: the tap changer is asked for its state alone."""
    async with open_site(tmp_path) as site:
        await started(site, "storage", "oltc_controller", tap=-3)
        await site.ask("oltc", "lockOut", {"reason": "maintenance"})
        await site.start("voltage_guard")
        await site.start("voltage_problem_handler")

        async def reported() -> bool:
            return "maintenance" in await trouble(site)

        await eventually(reported)
        assert (await site.ask("oltc", "getTapPosition"))["operations"] == 0
        await site.ask("oltc", "release")
        await eventually(lambda: inside_the_band(site))


async def test_a_handler_that_comes_late_learns_the_open_problems_from_the_guard(tmp_path: Path) -> None:
    """The guard repeats no event; a restarted handler must not wait for the next crossing."""
    async with open_site(tmp_path) as site:
        await started(site, "storage", "oltc_controller", "voltage_guard", tap=-3)

        async def open_problems() -> bool:
            return len((await site.ask("voltage_guard", "status"))["problems"]) >= 14

        await eventually(open_problems)
        await site.start("voltage_problem_handler")
        await eventually(lambda: inside_the_band(site))


async def test_the_next_instance_goes_on_with_what_was_done(tmp_path: Path) -> None:
    """The steps of the tap changer above all: measurements from before them were taken at another tap."""
    async with open_site(tmp_path, states=True) as site:
        await started(site, "storage", "oltc_controller", "voltage_guard", "voltage_problem_handler", tap=-3)

        async def settled() -> bool:
            status = await site.ask("voltage_problem_handler", "status")
            return await inside_the_band(site) and not status["problems"]

        await eventually(settled)
        before = await site.ask("voltage_problem_handler", "status")
        changes = list(site.module("voltage_problem_handler")._changes)
        await site.stop("voltage_problem_handler")
        await site.start("voltage_problem_handler")
        after = await site.ask("voltage_problem_handler", "status")
        kept = list(site.module("voltage_problem_handler")._changes)
    assert (after["moves"], after["lastDecision"]) == (before["moves"], before["lastDecision"])
    assert kept[: len(changes)] == changes != []


async def test_a_problem_that_is_open_is_gone_on_with_though_the_guard_is_away(tmp_path: Path) -> None:
    """It reports each crossing once, and doesn't answer now."""
    async with open_site(tmp_path, states=True) as site:
        await started(site, "voltage_guard", "voltage_problem_handler", tap=-3)

        async def noted() -> bool:
            return bool((await site.ask("voltage_problem_handler", "status"))["problems"])

        await eventually(noted)
        await site.stop("voltage_problem_handler")
        await site.stop("voltage_guard")
        await site.start("voltage_problem_handler")
        assert await noted()
        await site.start("storage")
        await site.start("oltc_controller")
        await eventually(lambda: inside_the_band(site))
