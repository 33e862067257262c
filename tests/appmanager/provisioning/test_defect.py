"""A defect of ours in the middle of a command: it is on record all the same, once, with how it ended."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind
from appmanager.provisioning.outcome import Outcome
from appmanager.provisioning.plan import Order
from appmanager.provisioning.recovery import recover
from appmanager.store.journal import Journal
from appmanager.store.record import Record
from tests.appmanager.provisioning.failing_disk import read_only_from
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, Bundles, is_new, story

KINDS = pytest.mark.parametrize("kind", Kind)


class Defect(RuntimeError):
    """What none of our code expects."""


def defect(at: int, until: int) -> Callable[[str], None]:
    """For `SimulatedDisk.before`: the operations of these numbers raise what no disk does."""
    numbers = itertools.count()

    def before(operation: str) -> None:
        if at <= next(numbers) < until:
            raise Defect(operation)

    return before


async def carried_out(engine: Engine, order: Order) -> Outcome:
    """As the AppManager does it."""
    try:
        return await engine.run(order)
    except Defect as error:
        return await engine.broken(order, str(error))


def ends_of(disk: SimulatedDisk, known_as: str) -> list[str]:
    """What the record, which is whole, says of a command."""
    record = Record(disk, LAYOUT.record)
    record.verify()
    return [entry.outcome for entry in record.entries() if entry.id == known_as]


@KINDS
async def test_a_defect_at_any_operation_leaves_the_command_on_record_once(kind: Kind, bundles: Bundles) -> None:
    """Before there is a journal as `broken`; from then on with the end that whoever mends it finds."""
    seen = set()
    for number in itertools.count():
        it = await story(kind, bundles)
        it.disk.before = defect(number, number + 1)
        outcome = await carried_out(Engine(it.disk, LAYOUT, it.host()), it.order)
        it.disk.before = lambda operation: None
        journalled = Journal(it.disk, LAYOUT).modules() == ["lamp"]
        told = ends_of(it.disk, "x")
        seen.add((outcome.end, journalled))
        if outcome.end is End.BROKEN and not journalled:
            assert told == ["broken"], number
        if told:
            assert Engine(it.disk, LAYOUT, it.host()).recall("x") == replace(outcome, step=None, was="", becomes="")
        recovered = recover(it.disk, LAYOUT, 1.0)
        is_new(it.disk, recovered, it, f"operation {number}")
        if not any(one.resume is not None for one in recovered):
            assert len(ends_of(it.disk, "x")) == 1, f"operation {number}: {outcome}, {ends_of(it.disk, 'x')}"
        if outcome.end is End.DONE and not outcome.reason:
            break
    assert (End.BROKEN, False) in seen
    assert (End.BROKEN, True) in seen


async def test_a_defect_while_another_command_is_mended_is_this_ones(bundles: Bundles) -> None:
    """The journal that lies there is the other's, which keeps its own end."""
    it = await story(Kind.UPDATE, bundles)
    it.disk.before = read_only_from(30)
    assert (await Engine(it.disk, LAYOUT, it.host()).run(it.order)).end is End.BROKEN
    it.disk.before = defect(0, 1)
    outcome = await carried_out(Engine(it.disk, LAYOUT, it.host()), structs.replace(it.order, id="y"))
    it.disk.before = lambda operation: None
    assert (outcome.end, ends_of(it.disk, "y"), ends_of(it.disk, "x")) == (End.BROKEN, ["broken"], [])
    recover(it.disk, LAYOUT, 1.0)
    assert ends_of(it.disk, "x") == ["refused"]


async def test_a_defect_that_is_in_the_way_of_the_record_too_is_told(bundles: Bundles) -> None:
    """Whoever waits for the outcome must not wait for ever."""
    it = await story(Kind.UPDATE, bundles)
    it.disk.before = defect(0, 10**9)
    outcome = await carried_out(Engine(it.disk, LAYOUT, it.host()), it.order)
    assert outcome.end is End.BROKEN
    assert "not on record" in outcome.reason
