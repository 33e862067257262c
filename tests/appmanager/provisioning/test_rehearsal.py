"""Dry runs: what they say is what the command would say, and nothing is left of them."""

from __future__ import annotations

import contextlib

import pytest
from msgspec import structs

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import STEPS, End, Kind, Step
from appmanager.provisioning.outcome import Progress
from appmanager.provisioning.rehearsal import Rehearsed
from gridlink.errors import Busy, Refused
from tests.appmanager.provisioning.failing_disk import full_from, read_only_from
from tests.appmanager.provisioning.stories import LAYOUT, Bundles, story

KINDS = pytest.mark.parametrize("kind", list(Kind))


@KINDS
@pytest.mark.parametrize("fails", [Step.RECEIVE, Step.PREFLIGHT])
async def test_a_dry_run_says_what_the_command_says_and_leaves_the_disk_as_it_was(
    kind: Kind, fails: Step, bundles: Bundles
) -> None:
    """By the same steps, on a copy; nothing on record, and none of what runs is asked to stop."""
    it = await story(kind, bundles)
    host, seen = it.host(), list[Progress]()
    engine = Engine(it.disk, LAYOUT, host, report=seen.append)
    before, running = it.disk.tree(LAYOUT.managed), dict(host.running)
    host.fails[fails] = Refused(f"no: {LAYOUT.dry_run}/staged/lamp")
    tried = await engine.dry_run(it.order, host)
    assert (it.disk.tree(LAYOUT.managed), host.running, seen) == (before, running, [])
    assert not it.disk.kind(LAYOUT.dry_run)
    if fails not in STEPS[kind]:
        assert not tried.reason
        return
    host.fails[fails] = Refused(f"no: {LAYOUT.own}/staged/lamp")
    outcome = await engine.run(it.order)
    assert (outcome.end, outcome.reason, outcome.step) == (End.REFUSED, tried.reason, tried.step)


async def test_a_dry_run_of_a_bundle_that_is_far_away_asks_for_nothing_of_it(bundles: Bundles) -> None:
    """Over a thin link nobody wants it twice."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    host.fails[Step.RECEIVE] = AssertionError("it was asked for")
    assert await Engine(it.disk, LAYOUT, host).dry_run(it.order, host, at_hand=False) == Rehearsed("1.0.0")


@pytest.mark.parametrize("fails", [full_from, read_only_from], ids=["full", "read-only"])
async def test_a_dry_run_on_a_disk_that_says_no_is_a_refusal_and_the_next_one_takes_away_what_is_left(
    fails: object, bundles: Bundles
) -> None:
    """At each of its operations."""
    assert callable(fails)
    number, tried = 0, Rehearsed(reason="not yet")
    while tried.reason:
        it = await story(Kind.UPDATE, bundles)
        host = it.host()
        engine, before = Engine(it.disk, LAYOUT, host), it.disk.tree(LAYOUT.managed)
        it.disk.before = fails(number)
        with contextlib.suppress(OSError):  # it turned read-only: the copy can't be removed
            tried = await engine.dry_run(it.order, host)
        it.disk.before = lambda operation: None
        assert await engine.dry_run(it.order, host) == Rehearsed("1.0.0", "2.0.0")
        assert it.disk.tree(LAYOUT.managed) == before
        number += 1
    assert number > 10


async def test_what_is_being_changed_has_no_dry_run(bundles: Bundles) -> None:
    """It would look at a half."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    engine = Engine(it.disk, LAYOUT, host)

    async def tries() -> None:
        with pytest.raises(Busy, match="ask again when it has ended"):
            await engine.dry_run(structs.replace(it.order, id="y"), host)
        host.waits.clear()

    host.waits[Step.START] = tries
    assert (await engine.run(it.order)).end is End.DONE
    assert not host.waits


async def test_a_dry_run_says_where_the_last_command_is_not_finished_and_nothing_is_being_done(
    bundles: Bundles,
) -> None:
    """Nobody would wait for ever for the end of what has ended."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    engine = Engine(it.disk, LAYOUT, host)
    host.fails[Step.TIDY] = Refused("not now")
    assert "not tidied yet" in (await engine.run(it.order)).reason
    again = structs.replace(it.order, id="y", older=True)
    with pytest.raises(Refused, match="what was done last isn't finished: the next command, or the next start, does"):
        await engine.dry_run(again, host)
    host.fails.clear()
    assert await engine.finish("lamp")
    assert not await engine.finish("lamp")
    assert (await engine.dry_run(again, host)).reason == ""
