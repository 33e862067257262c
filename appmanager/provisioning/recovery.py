"""What the start does before anything else: finishes or undoes what was cut off. Blocks; runs none of a module's code.

A command that had only been receiving goes on. Before COMMIT the old version is put back, from there on the rest is
done. It may be cut off itself, and be done again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from appmanager.packed.limits import Limits
from appmanager.provisioning.bundle_change import BundleChange
from appmanager.provisioning.change import Change
from appmanager.provisioning.config_change import ConfigChange
from appmanager.provisioning.machine import TOUCHES, End, Event, Kind, Step, advance, first
from appmanager.provisioning.outcome import Outcome, Recovered
from appmanager.provisioning.plan import Plan, read
from appmanager.provisioning.removal import Removal
from appmanager.store.disk import Disk
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from appmanager.store.record import Entry, Record
from appmanager.store.tree import remove_durably
from gridlink.errors import GridlinkError

VERSIONS_KEPT = 3


def change_of(
    disk: Disk,
    layout: Layout,
    plan: Plan,
    at_s: float,
    limits: Limits,
    versions_kept: int = VERSIONS_KEPT,
    progress: Callable[[int], None] = lambda size_bytes: None,
) -> Change:
    """The work of a plan on the disk."""
    if plan.kind is Kind.CONFIGURE:
        return ConfigChange(disk, layout, plan)
    if plan.kind is Kind.UNINSTALL:
        return Removal(disk, layout, plan)
    return BundleChange(disk, layout, plan, limits=limits, versions_kept=versions_kept, at_s=at_s, progress=progress)


def recover(disk: Disk, layout: Layout, at_s: float) -> list[Recovered]:
    """Mends all modules that something was being done to; the others are left alone. `at_s`: Unix time, for the record.

    What the disk refuses is an outcome too (BROKEN, with the reason): the other modules are to run.
    """
    journal, record = Journal(disk, layout), Record(disk, layout.record)
    found = []
    for module in journal.modules():
        try:
            recovered = recover_module(disk, layout, record, module, at_s)
        except (OSError, GridlinkError) as error:
            outcome = Outcome("", module, Kind.UPDATE, End.BROKEN, f"it can't be mended at this start: {error}")
            recovered = Recovered(outcome)
        if recovered is not None:
            found.append(recovered)
    return found


def recover_module(disk: Disk, layout: Layout, record: Record, module: str, at_s: float) -> Recovered | None:
    """Mends one module; None where there is nothing to say. Raises OSError, RecordDamaged: not mended."""
    journal = Journal(disk, layout)
    journalled = journal.read(module)
    try:
        plan = read(journalled.plan) if journalled is not None else None
    except msgspec.ValidationError as error:
        raise GridlinkError(f"{module}: its journal is of another release of Gridlink: {error}") from error
    if journalled is None or plan is None:
        remove_durably(disk, layout.staged(module))  # it was not begun
        journal.end(module)
        return None
    begun = tuple(Step(step) for step in journalled.steps)
    last = begun[-1] if begun else first(plan.kind)
    after = Step.UNDO if Step.UNDO in begun else advance(plan.kind, last, Event.CUT)
    if after is Step.RECEIVE:
        return Recovered(None, plan.order)
    change = change_of(disk, layout, plan, at_s, Limits())
    if after is Step.TIDY:
        change.tidy()
        outcome = _outcome(plan, End.DONE, "finished after it was cut off", last)
    else:
        change.undo(frozenset(begun))
        untouched = TOUCHES.isdisjoint(begun)
        why = f"it was cut off in its step {last.value!r}: the old version is in place"
        outcome = _outcome(plan, End.REFUSED if untouched else End.ROLLED_BACK, why, last)
    order = plan.order
    record.append(
        Entry(
            order.id,
            order.kind,
            module,
            outcome.end,
            outcome.reason,
            order.who,
            plan.digests,
            at_s,
            signed=order.signed,
        )
    )
    journal.end(module)
    return Recovered(outcome)


def _outcome(plan: Plan, end: End, reason: str, step: Step) -> Outcome:
    return Outcome(plan.order.id, plan.module, plan.kind, end, reason, step, plan.was, plan.becomes)
