"""Site time: the wall clock, a led one, and those that follow it."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.clock import Reference, SiteClock
from gridlink.tasks import Tasks
from gridlink.testing import eventually

DAY_S = 86400.0


def test_a_clock_that_nobody_leads_is_the_wall_clock() -> None:
    """A real substation needs no leader."""
    clock = SiteClock()
    assert clock.now() == pytest.approx(time.time(), abs=0.5)
    assert (clock.speed, clock.leader, clock.reference()) == (1.0, "", None)


class Wall:
    """A wall clock that is set."""

    def __init__(self) -> None:
        self.off_s = 0.0

    def __call__(self) -> float:
        """Unix time by it."""
        return time.time() + self.off_s


@pytest.mark.parametrize("off_s", [3650 * DAY_S, -3650 * DAY_S, -time.time()])
def test_site_time_goes_with_a_wall_clock_that_is_set(off_s: float) -> None:
    """A board boots in 1970: what it measures after a time server has corrected that must not be half a century old."""
    wall = Wall()
    clock = SiteClock(wall_s=wall)
    wall.off_s = off_s
    clock.look()
    assert clock.now() == pytest.approx(wall(), abs=0.5)
    assert (clock.speed, clock.leader, clock.reference()) == (1.0, "", None)


def test_between_its_steps_site_time_never_goes_back() -> None:
    """Time is read from the monotonic clock: what a time server slews, or corrects by a little, isn't seen."""
    wall = Wall()
    clock = SiteClock(wall_s=wall)
    readings = []
    for number in range(1000):
        wall.off_s = -0.1 * (number % 2)
        clock.look()
        readings.append(clock.now())
    assert readings == sorted(readings)


def test_a_wall_clock_that_is_set_is_nothing_to_a_clock_that_is_led() -> None:
    """A replayed day stays that day."""
    wall = Wall()
    clock = SiteClock(wall_s=wall)
    clock.lead(1000.0, 1.0, "x@n")
    wall.off_s = 3650 * DAY_S
    clock.look()
    assert clock.now() == pytest.approx(1000.0, abs=0.5)


@pytest.mark.parametrize("off_s", [3650 * DAY_S, -3650 * DAY_S])
async def test_who_sleeps_for_a_while_sleeps_neither_longer_nor_shorter_where_the_wall_clock_is_set(
    off_s: float,
) -> None:
    """Ten years back, an hour would last ten years; ten years ahead, everything would be done at once."""
    wall, tasks = Wall(), Tasks("test")
    clock = SiteClock(wall_s=wall)
    short, long = (tasks.spawn(clock.sleep(s), name="sleeper") for s in (0.2, 3600))
    await asyncio.sleep(0)
    wall.off_s = off_s
    clock.look()
    async with asyncio.timeout(2):
        await short
    assert not long.done()
    await tasks.aclose()


async def test_who_waits_for_a_time_has_it_where_the_wall_clock_is_set_past_it() -> None:
    """Noon is noon by the clock that was corrected."""
    wall, tasks = Wall(), Tasks("test")
    clock = SiteClock(wall_s=wall)
    waiting = tasks.spawn(clock.sleep_until(clock.now() + 3600), name="sleeper")
    await asyncio.sleep(0)
    wall.off_s = 7200
    clock.look()
    async with asyncio.timeout(2):
        await waiting


def test_a_leader_sets_time_and_speed_and_tells() -> None:
    """The data generator replays a day in minutes."""
    told: list[bool] = []
    clock = SiteClock(lambda: told.append(True))
    clock.lead(0.0, 1000.0, "data_generator@n1")
    assert 0.0 <= clock.now() < 500.0
    assert (clock.speed, clock.leader) == (1000.0, "data_generator@n1")
    assert told == [True]
    first = clock.reference()
    clock.lead(0.0, 1.0, "data_generator@n1")
    second = clock.reference()
    assert first is not None
    assert second is not None
    assert second.version > first.version


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_no_speed_is_refused(speed: float) -> None:
    """A clock that stands, runs back or is infinite would hang every timer."""
    clock = SiteClock()
    with pytest.raises(ValueError, match="above 0"):
        clock.lead(0.0, speed, "x@n")
    assert clock.leader == ""


@pytest.mark.parametrize("site_s", [float("nan"), float("inf")])
def test_a_time_that_is_no_time_is_refused(site_s: float) -> None:
    """The reference travels as JSON, which has neither."""
    with pytest.raises(ValueError, match="Unix seconds"):
        SiteClock().lead(site_s, 1.0, "x@n")


async def test_a_sleep_is_in_site_time() -> None:
    """A day passes in the blink of an eye where time runs fast."""
    clock = SiteClock()
    clock.lead(0.0, 1e7, "x@n")
    began_s = time.monotonic()
    await clock.sleep(DAY_S)
    assert clock.now() >= DAY_S
    assert time.monotonic() - began_s < 1.0


async def test_a_change_of_speed_wakes_those_who_sleep() -> None:
    """A module that sleeps an hour must not sleep it at the old speed."""
    clock, tasks = SiteClock(), Tasks("test")
    sleeping = tasks.spawn(clock.sleep(3600), name="sleeper")
    await asyncio.sleep(0)
    clock.lead(clock.now(), 1e6, "x@n")
    async with asyncio.timeout(2):
        await sleeping


async def test_a_jump_past_the_end_wakes_those_who_sleep() -> None:
    """A new day begins: what was due is due."""
    clock, tasks = SiteClock(), Tasks("test")
    sleeping = tasks.spawn(clock.sleep(3600), name="sleeper")
    await asyncio.sleep(0)
    clock.lead(clock.now() + 7200, 1.0, "x@n")
    async with asyncio.timeout(2):
        await sleeping


async def test_a_jump_back_makes_those_who_sleep_wait_anew() -> None:
    """They wait for their time, not for a duration."""
    clock, tasks = SiteClock(), Tasks("test")
    sleeping = tasks.spawn(clock.sleep_until(clock.now() + 0.05), name="sleeper")
    await asyncio.sleep(0)
    clock.lead(clock.now() - 3600, 1.0, "x@n")
    await asyncio.wait({sleeping}, timeout=0.2)
    assert not sleeping.done()
    await tasks.aclose()


async def test_a_cancelled_sleeper_leaves_nothing_behind() -> None:
    """Thousands of timers come and go in a day."""
    clock, tasks = SiteClock(), Tasks("test")
    sleeping = tasks.spawn(clock.sleep(3600), name="sleeper")
    await eventually(lambda: clock._sleepers)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert not clock._sleepers


async def test_sleeping_until_the_past_yields_once() -> None:
    """A timer that is late must not keep the loop to itself."""
    clock, ran = SiteClock(), asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await clock.sleep_until(clock.now() - 5)
    assert ran.is_set()


def test_a_follower_takes_over_time_speed_and_leader() -> None:
    """Nodes of a site share one time."""
    leader, follower = SiteClock(), SiteClock()
    leader.lead(1000.0, 60.0, "data_generator@n1")
    reference = leader.reference()
    assert reference is not None
    follower.follow(reference)
    assert follower.now() == pytest.approx(leader.now(), abs=30)
    assert (follower.speed, follower.leader) == (60.0, "data_generator@n1")


def test_a_small_difference_is_no_reason_to_jump() -> None:
    """A reference took a few milliseconds to come: following each would make time stutter."""
    clock = SiteClock()
    clock.follow(Reference(1000.0, 1.0, "x@n", 1))
    before_s = clock.now()
    clock.follow(Reference(1000.1, 1.0, "x@n", 1))
    assert clock.now() - before_s < 0.05
    clock.follow(Reference(1002.0, 1.0, "x@n", 1))
    assert clock.now() - before_s > 1.5


def test_an_older_reference_is_ignored() -> None:
    """Messages may come in another order than they were sent."""
    clock = SiteClock()
    clock.follow(Reference(1000.0, 2.0, "x@n", 5))
    clock.follow(Reference(9.0, 3.0, "x@n", 4))
    assert clock.speed == 2.0


@pytest.mark.parametrize(
    "reference",
    [
        Reference(5.0, 0.0, "x@n", 9),
        Reference(5.0, -2.0, "x@n", 9),
        Reference(5.0, 1e308, "x@n", 9),
        Reference(1e308, 1.0, "x@n", 9),
        Reference(-1e308, 1.0, "x@n", 9),
        Reference(float("nan"), 1.0, "x@n", 9),
        Reference(5.0, 1.0, "x@n", 2**62),
        Reference(5.0, 1.0, "", 9),
        Reference(5.0, 1.0, "x" * 1000, 9),
    ],
)
def test_a_foreign_reference_that_no_leader_can_have_said_is_ignored(reference: Reference) -> None:
    """Anybody can publish on the registry's subject: time must go on, and what is carried on must fit into JSON."""
    clock = SiteClock()
    clock.follow(reference)
    assert clock.leader == ""
    assert clock.now() > 1e9


@given(st.permutations([("a@n", 1), ("b@n", 1), ("a@n", 2), ("c@n", 2), ("b@n", 2)]))
def test_in_any_order_all_nodes_follow_the_same_leader(arrivals: list[tuple[str, int]]) -> None:
    """Two that lead at once must not make the nodes swing between them."""
    clock = SiteClock()
    for leader, version in arrivals * 2:
        clock.follow(Reference(1000.0, 1.0, leader, version))
    assert clock.leader == "c@n"
