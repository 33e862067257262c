"""What the start does before anything else: finishes or undoes what was cut off. Blocks; runs none of a module's code.

A command that had only been receiving goes on. Before COMMIT the old version is put back, from there on the rest is
done. It may be cut off itself, and be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from appmanager.packed.limits import Limits
from appmanager.provisioning.blocking import said
from appmanager.provisioning.bundle_change import BundleChange
from appmanager.provisioning.change import Change
from appmanager.provisioning.config_change import ConfigChange
from appmanager.provisioning.machine import TOUCHES, End, Event, Kind, Step, advance, first
from appmanager.provisioning.outcome import Outcome, Recovered
from appmanager.provisioning.plan import Plan, read
from appmanager.provisioning.removal import Removal
from appmanager.provisioning.salvage import salvage
from appmanager.store.disk import Disk
from appmanager.store.journal import Journal, JournalDamaged
from appmanager.store.keeping_on import append_anyhow
from appmanager.store.layout import BUNDLE, Layout
from appmanager.store.record import Entry, Record
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


def recover(disk: Disk, layout: Layout, at_s: float, whys: Mapping[str, str] = MappingProxyType({})) -> list[Recovered]:
    """Mends all modules that something was being done to; the others are left alone. `at_s`: Unix time, for the record.

    `whys`: what modules did to end their process, which is the reason where a version was just being tried.
    What can't be mended is an outcome too (BROKEN, with the reason): the other modules are to run. Raises OSError: the
    journals can't be listed.
    """
    journal, record = Journal(disk, layout), Record(disk, layout.record)
    found = []
    for module in journal.modules():
        try:
            recovered = recover_module(disk, layout, record, module, at_s, whys.get(module, ""))
        except Exception as error:  # noqa: BLE001 - whatever one module's files look like, the node is to start
            outcome = Outcome("", module, Kind.UPDATE, End.BROKEN, f"it can't be mended at this start: {said(error)}")
            recovered = Recovered(outcome)
        if recovered is not None:
            found.append(recovered)
    return found


def recover_module(
    disk: Disk, layout: Layout, record: Record, module: str, at_s: float, did: str = ""
) -> Recovered | None:
    """Mends one module; None where there is nothing to say. `did`: how it ended its process, if it is known.

    Raises OSError, GridlinkError: not mended.
    """
    journal = Journal(disk, layout)
    try:
        journalled = journal.read(module)
    except JournalDamaged as error:
        return Recovered(Outcome("", module, Kind.UPDATE, End.ROLLED_BACK, salvage(disk, layout, module, str(error))))
    if journalled is None:
        return None
    try:
        plan = read(journalled.plan)
        steps = tuple(Step(step) for step in journalled.steps)
    except ValueError as error:  # a ValidationError is one
        raise GridlinkError(f"{module}: its journal is of another release of Gridlink: {error}") from error
    begun = {*steps, *_lost(disk, layout, plan, steps)}
    last = steps[-1] if steps else first(plan.kind)
    undone = Step.UNDO in begun or len(begun) > len(steps)
    after = Step.UNDO if undone else advance(plan.kind, last, Event.CUT)
    if after is Step.RECEIVE:
        return Recovered(None, plan.order)
    change = change_of(disk, layout, plan, at_s, Limits())
    tried = Step.START in steps and after is Step.UNDO
    if after is Step.TIDY:
        change.tidy()
        outcome = _outcome(plan, End.DONE, "finished after it was cut off", last)
    else:
        change.undo(frozenset(begun))
        untouched = TOUCHES.isdisjoint(begun)
        because = f" ({did})" if tried and did else ""
        why = f"it was cut off in its step {last.value!r}{because}: the old version is in place"
        outcome = _outcome(plan, End.REFUSED if untouched else End.ROLLED_BACK, why, last)
    order, digests = plan.order, plan.digests
    entry = Entry(
        order.id, order.kind, order.module, outcome.end, outcome.reason, order.who, digests, at_s, signed=order.signed
    )
    append_anyhow(disk, layout, record, entry)
    journal.end(module)
    return Recovered(outcome, tried=tried)


def _lost(disk: Disk, layout: Layout, plan: Plan, steps: tuple[Step, ...]) -> set[Step]:
    """The steps whose records may be lost: what was kept of the old version tells that it is not in its place."""
    if not plan.keep or not {Step.COMMIT, Step.TIDY}.isdisjoint(steps):
        return set()
    is_out = disk.kind(layout.version(plan.module, plan.keep) / BUNDLE)
    return {Step.SWITCH, Step.START} - set(steps) if is_out else set()


def _outcome(plan: Plan, end: End, reason: str, step: Step) -> Outcome:
    return Outcome(plan.order.id, plan.module, plan.kind, end, reason, step, plan.was, plan.becomes)
