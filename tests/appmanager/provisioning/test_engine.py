"""Commands that go well, that fail in each of their steps, and that meet a disk which says no."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from msgspec import structs

from appmanager.packed.errors import BundleInvalid
from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import STEPS, TOUCHES, End, Kind, Step
from appmanager.provisioning.outcome import Progress
from appmanager.provisioning.plan import Order, Plan
from appmanager.provisioning.recovery import recover
from appmanager.provisioning.rehearsal import Rehearsed
from appmanager.store.disk import RealDisk
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from appmanager.store.record import Record
from appmanager.store.tree import write_whole
from appmanager.store.versions import Versions
from gridlink.errors import Busy, StartFailed
from tests.appmanager.packed.making import files_of, packed
from tests.appmanager.provisioning.failing_disk import full_from, read_only_from
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, NEWER, PLACE, Bundles, is_new, story

KINDS = pytest.mark.parametrize("kind", list(Kind))


@KINDS
async def test_a_command_that_goes_well_says_what_it_does_and_is_on_record(kind: Kind, bundles: Bundles) -> None:
    """Each kind, from its first step to the record."""
    it = await story(kind, bundles)
    host, seen = it.host(), list[Progress]()
    outcome = await Engine(it.disk, LAYOUT, host, report=seen.append, wall_s=lambda: 5.0).run(it.order)
    assert (outcome.end, outcome.reason) == (End.DONE, "")
    assert outcome.becomes == {Kind.UPDATE: "2.0.0", Kind.UNINSTALL: ""}.get(kind, "1.0.0")
    assert tuple(progress.step for progress in seen) == STEPS[kind]
    assert [progress.percent for progress in seen] == sorted(progress.percent for progress in seen)
    assert is_new(it.disk, [], it, "at the end")
    chain = Record(it.disk, LAYOUT.record).verify()
    assert chain is not None
    last = chain.last
    assert (last.id, last.kind, last.module, last.outcome, last.at_s) == ("x", kind, "lamp", "done", 5.0)
    assert ("lamp" in host.running) == (kind is not Kind.UNINSTALL)


async def test_an_update_keeps_state_and_configuration_and_a_rollback_brings_both_back(bundles: Bundles) -> None:
    """What an operator relies on when he tries a new version."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    host.running["lamp"].state = b"counted to 7"
    engine = Engine(it.disk, LAYOUT, host)
    seen: list[bytes | None] = []

    async def look() -> None:
        seen.append(host.running["lamp"].state)

    host.waits[Step.WATCH] = look
    assert (await engine.run(it.order)).end is End.DONE
    assert (host.running["lamp"].version, host.running["lamp"].config) == ("2.0.0", {"watt": 60})
    await engine.run(Order("y", Kind.CONFIGURE, "lamp", settings={"watt": 5}))
    host.waits.clear()
    host.fails[Step.TIDY] = StartFailed("later")  # committed all the same
    outcome = await engine.run(Order("z", Kind.ROLLBACK, "lamp"))
    assert (outcome.end, outcome.was, outcome.becomes) == (End.DONE, "2.0.0", "1.0.0")
    assert (host.running["lamp"].version, host.running["lamp"].config) == ("1.0.0", {"watt": 60})
    assert recover(it.disk, LAYOUT, 0.0)[0].outcome is not None
    assert [kept.about.version for kept in Versions(it.disk, LAYOUT).kept("lamp")] == ["1.0.0", "2.0.0"]


@KINDS
@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.STAGE, Step.COMMIT, Step.UNDO, Step.TIDY)])
@pytest.mark.parametrize("error", [StartFailed("it can't"), ZeroDivisionError("1/0")], ids=["refused", "a defect"])
async def test_a_step_that_fails_brings_the_old_version_back(
    kind: Kind, step: Step, error: Exception, bundles: Bundles
) -> None:
    """Whatever the step, whatever it raises."""
    if step not in STEPS[kind] or step is Step.SWITCH:  # the disk's own steps are below
        return
    it = await story(kind, bundles)
    host = it.host()
    before = {name: (lamp.version, lamp.state, lamp.config) for name, lamp in host.running.items()}
    host.fails[step] = error
    seen: list[Progress] = []
    outcome = await Engine(it.disk, LAYOUT, host, report=seen.append).run(it.order)
    assert (seen[-1].step is Step.UNDO) == (step in TOUCHES)
    assert outcome.end is (End.ROLLED_BACK if step in TOUCHES else End.REFUSED)
    assert str(error) in outcome.reason
    assert outcome.step is step
    assert not is_new(it.disk, [], it, "at the end")
    assert {name: (lamp.version, lamp.state, lamp.config) for name, lamp in host.running.items()} == before
    assert not Journal(it.disk, LAYOUT).modules()


@pytest.mark.parametrize("kind", [Kind.INSTALL, Kind.UPDATE])
async def test_a_bundle_that_is_not_the_one_that_was_ordered_is_refused(kind: Kind, bundles: Bundles) -> None:
    """A digest stands for every byte."""
    it = await story(kind, bundles)
    host = it.host()
    host.receives = bundles["2.0.0" if kind is Kind.INSTALL else "1.0.0"][0]
    outcome = await Engine(it.disk, LAYOUT, host).run(it.order)
    assert (outcome.end, outcome.step) == (End.REFUSED, Step.STAGE)
    assert "expected the bundle of digest" in outcome.reason
    assert not is_new(it.disk, [], it, "at the end")
    assert BundleInvalid.__name__ not in outcome.reason


async def test_a_bundle_that_does_not_come_in_time_is_given_up(bundles: Bundles) -> None:
    """A link may be gone for hours: a command says how long it is worth waiting."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    host.waits[Step.RECEIVE] = asyncio.Event().wait  # type: ignore[assignment]
    order = Order("x", Kind.UPDATE, "lamp", digest=it.order.digest, expires_s=0.05)
    outcome = await Engine(it.disk, LAYOUT, host).run(order)
    assert (outcome.end, "0.05 s" in outcome.reason) == (End.REFUSED, True)


async def test_one_command_a_module_at_a_time_and_several_modules_at_once(bundles: Bundles) -> None:
    """The second on the same module is told so; another module doesn't wait."""
    it = await story(Kind.UPDATE, bundles)
    host, arrived, go = it.host(), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await go.wait()

    host.waits[Step.PREFLIGHT] = wait
    engine = Engine(it.disk, LAYOUT, host)
    first = asyncio.get_running_loop().create_task(engine.run(it.order))
    await arrived.wait()
    with pytest.raises(Busy, match="lamp"):
        await engine.run(Order("y", Kind.ROLLBACK, "lamp"))
    other = await engine.run(Order("z", Kind.UNINSTALL, "meter"))
    assert "isn't installed here" in other.reason
    go.set()
    assert (await first).end is End.DONE


async def test_two_modules_are_installed_at_the_same_time(tmp_path: Path, bundles: Bundles) -> None:
    """Neither waits for the other, and the record that they share is whole."""
    other = {"module.json": b'{"name": "meter", "version": "1.0.0", "entry": "meter:Meter"}', "config.json": b"{}"}
    glb, digest = packed(tmp_path, other)
    layout, both = Layout(tmp_path / "managed"), asyncio.Barrier(2)
    layout.managed.mkdir()
    host = PlainHost(RealDisk(), layout)
    files = {"lamp": bundles["1.0.0"][0], "meter": glb}

    async def receive(plan: Plan, into: Path) -> None:
        write_whole(host.disk, into, files[plan.module])
        await both.wait()

    host.receive = receive  # type: ignore[method-assign]
    engine = Engine(host.disk, layout, host)
    outcomes = await asyncio.gather(
        engine.run(Order("1", Kind.INSTALL, "lamp", digest=bundles["1.0.0"][1])),
        engine.run(Order("2", Kind.INSTALL, "meter", digest=digest)),
    )
    assert [outcome.end for outcome in outcomes] == [End.DONE, End.DONE]
    chain = Record(host.disk, layout.record).verify()
    assert chain is not None
    assert chain.last.number == 2
    assert set(host.running) == {"lamp", "meter"}


async def test_a_cancelled_command_is_mended_as_after_a_power_cut(bundles: Bundles) -> None:
    """The AppManager may be told to end in the middle of an update."""
    it = await story(Kind.UPDATE, bundles)
    host, arrived = it.host(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await asyncio.Event().wait()

    host.waits[Step.WATCH] = wait
    task = asyncio.get_running_loop().create_task(Engine(it.disk, LAYOUT, host).run(it.order))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Journal(it.disk, LAYOUT).modules() == ["lamp"]
    assert not is_new(it.disk, recover(it.disk, LAYOUT, 0.0), it, "after it")


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Order("a", Kind.INSTALL, "lamp", digest="d"), "1.0.0 is installed: `gridlink update`"),
        (Order("a", Kind.INSTALL, "meter"), "expected the bundle's digest"),
        (Order("a", Kind.UPDATE, "meter", digest="d"), "isn't installed here, lamp is"),
        (Order("a", Kind.UNINSTALL, "appmanager"), "runs this node"),
        (Order("a", Kind.ROLLBACK, "lamp", to="9.9.9"), "isn't kept here (kept: 1.0.0)"),
        (Order("a", Kind.CONFIGURE, "lamp"), "there are none"),
        (Order("a", Kind.CONFIGURE, "lamp", settings={"watt.peak": 1}), "which holds no setting 'peak'"),
    ],
)
async def test_what_can_not_be_begun_is_refused_with_the_reason(order: Order, why: str, bundles: Bundles) -> None:
    """Before anything is touched, and on record."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    outcome = await Engine(it.disk, LAYOUT, host, protected=("appmanager",)).run(order)
    assert outcome.end is End.REFUSED
    assert why in outcome.reason
    assert it.disk.tree(PLACE) == it.old[0]
    chain = Record(it.disk, LAYOUT.record).verify()
    assert chain is not None
    assert (chain.last.id, chain.last.outcome, chain.last.reason) == ("a", "refused", outcome.reason)


async def test_what_a_command_would_do_can_be_asked_and_what_it_did(bundles: Bundles) -> None:
    """`--dry-run` leaves nothing; an outcome is on record for whoever asks again."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    engine = Engine(it.disk, LAYOUT, host)
    before = it.disk.tree(LAYOUT.managed)
    assert await engine.dry_run(it.order, host) == Rehearsed("1.0.0", "2.0.0")
    assert it.disk.tree(LAYOUT.managed) == before
    assert engine.recall("x") is None
    outcome = await engine.run(it.order)
    found = engine.recall("x")
    assert found is not None
    assert (found.id, found.module, found.kind, found.end) == ("x", "lamp", Kind.UPDATE, outcome.end)
    tried = await engine.dry_run(Order("y", Kind.INSTALL, "lamp", digest="d"), host)
    assert (tried.step, "is installed" in tried.reason) == (None, True)


async def test_the_bytes_of_a_large_bundle_are_reported_as_they_are_unpacked(tmp_path: Path) -> None:
    """For a progress bar at a desk a hundred kilometres away."""
    glb, digest = packed(tmp_path, files_of() | {"lamp/big": bytes(5_000_000)})
    disk, seen = SimulatedDisk(), list[Progress]()
    disk.put(LAYOUT.managed / ".keep", b"")
    engine = Engine(disk, LAYOUT, PlainHost(disk, LAYOUT, glb), report=seen.append)
    assert (await engine.run(Order("x", Kind.INSTALL, "lamp", digest=digest))).end is End.DONE
    staged = [progress.done_bytes for progress in seen if progress.step is Step.STAGE]
    assert staged == sorted(staged)
    assert 4 <= len(staged) <= 6
    assert staged[-1] > 4_000_000


async def test_a_directory_that_holds_another_bundle_is_not_overwritten(bundles: Bundles) -> None:
    """A name that is taken."""
    it = await story(Kind.INSTALL, bundles)
    it.disk.put(PLACE / "module.json", b'{"name": "meter", "version": "1.0.0", "entry": "meter:Meter"}')
    it.disk.put(PLACE / "config.json", b"{}")
    outcome = await Engine(it.disk, LAYOUT, it.host()).run(it.order)
    assert (outcome.end, "which holds meter" in outcome.reason) == (End.REFUSED, True)


@KINDS
@pytest.mark.parametrize("fails", [full_from, read_only_from], ids=["full", "read-only"])
async def test_a_disk_that_says_no_at_each_operation_leaves_the_old_or_the_new_version(
    kind: Kind, fails: object, bundles: Bundles
) -> None:
    """Full: what ran runs again at once. Read-only: at the latest when it can be written again, at the next start."""
    assert callable(fails)
    ends: set[End] = set()
    number, finished = 0, False
    while not finished:
        it = await story(kind, bundles)
        host = it.host()
        was = {name: lamp.version for name, lamp in host.running.items()}
        it.disk.before = fails(number)
        outcome = await Engine(it.disk, LAYOUT, host).run(it.order)
        where = f"from operation {number}: {outcome}"
        ends.add(outcome.end)
        if outcome.end in (End.REFUSED, End.ROLLED_BACK):
            assert {name: lamp.version for name, lamp in host.running.items()} == was, where
            assert "device" in outcome.reason or "ead-only" in outcome.reason, where
        finished = outcome.end is End.DONE and "not" not in outcome.reason
        it.disk.before = lambda operation: None
        recovered = recover(it.disk, LAYOUT, 0.0)
        new = is_new(it.disk, recovered, it, where)
        assert outcome.end is End.BROKEN or new == (outcome.end is End.DONE), where
        assert fails is read_only_from or outcome.end is not End.BROKEN, where
        number += 1
    assert number > 10
    assert End.REFUSED in ends


async def test_the_next_command_mends_what_a_disk_refused(bundles: Bundles) -> None:
    """A disk that can be written again needs no restart."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    engine = Engine(it.disk, LAYOUT, host)

    async def breaks() -> None:
        it.disk.before = read_only_from(0)

    host.waits[Step.START] = breaks
    assert (await engine.run(it.order)).end is End.BROKEN
    it.disk.before = lambda operation: None
    host.waits.clear()
    host.boot()
    again = PlainHost(it.disk, LAYOUT, it.receives)
    again.boot()
    engine = Engine(it.disk, LAYOUT, again)
    outcome = await engine.run(it.order)
    assert outcome.end is End.ROLLED_BACK, outcome  # it is the one that was cut off, and isn't done a second time
    outcome = await engine.run(structs.replace(it.order, id="y"))
    assert outcome.end is End.DONE, outcome
    assert again.running["lamp"].state == NEWER


@KINDS
async def test_a_clock_that_jumps_keeps_no_command_from_being_done(kind: Kind, bundles: Bundles) -> None:
    """A battery that is empty, a time server that is reached: versions and the record keep their order."""
    it = await story(kind, bundles)
    dates = itertools.cycle((0.0, 4e9, -1.0, 1.7e9))
    outcome = await Engine(it.disk, LAYOUT, it.host(), wall_s=lambda: next(dates)).run(it.order)
    assert outcome.end is End.DONE
    assert is_new(it.disk, recover(it.disk, LAYOUT, next(dates)), it, "after the jumps")
    record = Record(it.disk, LAYOUT.record)
    record.verify()
    assert [entry.id for entry in record.entries()][-1] == "x"


async def test_what_the_host_has_to_say_is_told_and_on_record_and_leaves_nothing_to_be_done(bundles: Bundles) -> None:
    """A reason beside `done` is no sign that something is left."""
    it = await story(Kind.UPDATE, bundles)
    host = it.host()
    host.remarks["lamp"] = "its state is that of its last checkpoint"
    outcome = await Engine(it.disk, LAYOUT, host).run(it.order)
    assert (outcome.end, outcome.reason) == (End.DONE, "its state is that of its last checkpoint")
    assert Journal(it.disk, LAYOUT).modules() == []
    last = Record(it.disk, LAYOUT.record).verify()
    assert last is not None
    assert last.last.reason == outcome.reason
