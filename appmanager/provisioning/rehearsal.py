"""A dry run: a command's steps up to the first one that touches what runs, on a copy that is removed again.

What a step refuses is told as the command itself would tell it. Nothing is in the journal, and nothing on record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from appmanager.packed.errors import BundleRefused
from appmanager.packed.limits import Limits
from appmanager.provisioning.blocking import in_thread, said
from appmanager.provisioning.change import Change
from appmanager.provisioning.host import Host
from appmanager.provisioning.machine import STEPS, TOUCHES, Kind, Step
from appmanager.provisioning.plan import Order, Plan
from appmanager.provisioning.planner import Planner
from appmanager.provisioning.recovery import change_of
from appmanager.store.disk import Disk
from appmanager.store.layout import Layout
from appmanager.store.tree import make_directory, remove_durably
from gridlink.errors import GridlinkError, RequestTimeout


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of it. `reason`: why the command would be refused, empty where nothing speaks against it.

    `step`: the one that would refuse it, None where it would not be begun; `check`: the check of its bundle.
    """

    was: str = ""
    becomes: str = ""
    reason: str = ""
    step: Step | None = None
    check: str = ""


async def rehearse(
    disk: Disk,
    layout: Layout,
    host: Host,
    planner: Planner,
    limits: Callable[[], Limits],
    order: Order,
    at_hand: bool,
) -> Rehearsed:
    """Tries an order in `layout.dry_run`, which isn't there any more when this returns or is cancelled.

    `layout`: a dry one. `at_hand`: its bundle can be looked at; else the plan is all that is. Raises OSError: the copy
    can't be removed.
    """
    steps = tuple(takewhile(lambda step: step not in TOUCHES, STEPS[order.kind])) if at_hand else ()
    step: Step | None = None
    plan, becomes = Plan(order, order.module), ""
    try:
        plan = await in_thread(lambda: planner.plan(order))
        await in_thread(lambda: _prepare(disk, layout, order))
        change = change_of(disk, layout, plan, 0.0, limits())
        becomes = plan.becomes
        for step in steps:
            becomes = await _take(step, plan, change, host, layout) or becomes
    except (GridlinkError, OSError) as error:
        reason = said(error).replace(str(layout.dry_run), str(layout.own))  # where the command would have it
        check = error.check if isinstance(error, BundleRefused) else ""
        return Rehearsed(plan.was, becomes, reason, step, check)
    finally:
        await in_thread(lambda: remove_durably(disk, layout.dry_run))
    return Rehearsed(plan.was, becomes)


def _prepare(disk: Disk, layout: Layout, order: Order) -> None:
    remove_durably(disk, layout.dry_run)  # of one that was cut off
    if order.kind not in (Kind.UNINSTALL, Kind.ROLLBACK):
        for path in (layout.incoming(order.module), layout.staged(order.module)):
            make_directory(disk, path.parent)


async def _take(step: Step, plan: Plan, change: Change, host: Host, layout: Layout) -> str:
    """Takes a step; of STAGE the version."""
    match step:
        case Step.RECEIVE:
            await _receive(plan, host, layout)
        case Step.STAGE:
            return await in_thread(change.stage)
        case Step.PREFLIGHT:
            await host.preflight(plan, change.staged)
    return ""


async def _receive(plan: Plan, host: Host, layout: Layout) -> None:
    within_s = plan.order.expires_s
    try:
        async with asyncio.timeout(within_s):
            await host.receive(plan, layout.incoming(plan.module))
    except TimeoutError as error:
        raise RequestTimeout(f"the bundle did not come within {within_s:g} s: ask again") from error
