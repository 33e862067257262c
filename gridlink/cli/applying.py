"""Brings one site to a declared state: asks what it has, and has its AppManager do what leads to what is declared.

A command's id is made of what it does and of the command that ended last on its module: an apply that is repeated
after a lost link asks for the same commands, and nothing is done twice; after a failure it is another id.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from appmanager.orders import EXPIRES_S, Inventory
from appmanager.running import DOORS
from gridlink.cli.call import CallFailed, explained, ready
from gridlink.cli.difference import Step, Wanted, canonical, difference
from gridlink.cli.last_door import with_last_door
from gridlink.cli.operate import AGAIN_S, SUCCEEDED, Asking, appmanager, line_of, present, who
from gridlink.cli.operator_key import signed
from gridlink.cli.sending import Via, offered
from gridlink.cli.session import Session
from gridlink.cli.steps import Steps
from gridlink.cli.waves import Teller
from gridlink.errors import ConnectionLost, GridlinkError, NoSuchInstance, Refused, RequestTimeout
from gridlink.registry import Entry

LOOK_S = 10.0
LOOKS = 3
UNDER_WAY_S = 1.0
MOVE_S = 60.0
OF_OTHERS = ("uses", "contracts", "memory")  # checks of a bundle that look at the other modules


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What is to be done at a site. `last`: see Inventory."""

    to: Entry
    steps: tuple[Step, ...]
    last: Mapping[str, str]

    @property
    def lines(self) -> tuple[str, ...]:
        """As people read it."""
        return tuple(step.line for step in self.steps)


async def plan_of(site: Session, wanted: Sequence[Wanted], prune: bool, within_s: float = EXPIRES_S) -> SitePlan:
    """What leads from what the site has to what is declared; what is under way is waited for. Raises Refused.

    An update that is being tried looks as if it were done, and may be rolled back.
    """
    await present(site)
    to = appmanager(site)
    names, by_s = {one.name for one in wanted}, time.monotonic() + within_s
    while True:
        found = await _look(site, to.instance, sorted(names))
        under_way = set(found.under_way) if prune else names & set(found.under_way)
        if not under_way:
            steps = difference(wanted, found.modules, prune=prune)
            doors = [entry for role in DOORS for entry in site.registry.find(role=role)]
            return SitePlan(to, with_last_door(steps, doors, to.instance), found.last)
        if time.monotonic() > by_s:
            raise CallFailed(f"something is still being done to {', '.join(sorted(under_way))}: apply again later")
        await asyncio.sleep(UNDER_WAY_S)


async def _look(site: Session, to: str, names: Sequence[str]) -> Inventory:
    sender, left = await ready(site), LOOKS
    while True:
        left -= 1
        try:
            found: Inventory = await sender.request(
                to, "inventory", {"modules": names}, reply=Inventory, timeout_s=LOOK_S
            )
            return found
        except (RequestTimeout, ConnectionLost) as error:
            if not left or not await site.back(time.monotonic() + LOOK_S):
                raise explained(error, to, "inventory") from error
            sender = await ready(site)
        except GridlinkError as error:
            raise explained(error, to, "inventory") from error


def command_id(site: str, to: str, step: Step, last: str) -> str:
    """The id of a command: the same as long as neither it, nor any other on its module, has ended."""
    order = {name: value for name, value in step.order.items() if name != "source"}
    return hashlib.sha256(canonical([site, to, step.word, step.module, order, last])).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class How:
    """How the commands are carried out: how a bundle gets there, for how long each is worth it, or not at all."""

    via: Via
    key: Path | None  # of the operator who signs
    expires_s: float | None
    dry_run: bool
    yes: bool = False  # the last door to the outside may be uninstalled too


def order_of(site: str, plan: SitePlan, step: Step, how: How) -> dict[str, Any]:
    """A step as an AppManager takes it."""
    if step.word == "uninstall":
        step = replace(step, order={**step.order, "yes": how.yes})
    named = command_id(site, plan.to.instance, step, plan.last.get(step.module, ""))
    return {"id": named, "module": step.module, "who": who(), "dry_run": how.dry_run, **step.order}


async def carry_out(site: Session, plan: SitePlan, teller: Teller, how: How) -> None:
    """Does the steps in order, and tells of each outcome. Raises CallFailed at the first that isn't done.

    In a dry run all are asked, and what would be refused is told.
    """
    if how.dry_run:
        await _tried(site, plan, teller, how)
        return
    for step in plan.steps:
        line, document = await _outcome(site, plan, step, teller, how)
        teller.tell(line, document)
        if document["end"] not in SUCCEEDED:
            raise CallFailed(f"{step.word} of {step.module} {document['end']}: what comes after it was not begun")


async def _tried(site: Session, plan: SitePlan, teller: Teller, how: How) -> None:
    """Asks what would become of each step, beside what runs now. Raises CallFailed where some would be refused.

    What a check refuses that what comes before the step may have changed by then is told, and counts as nothing.
    """
    refused, before = 0, ""
    for step in plan.steps:
        try:
            line, document = await _outcome(site, plan, step, teller, how)
        except GridlinkError as error:
            document = {"kind": step.word, "module": step.module, "end": "refused", "reason": str(error)}
        if document["end"] not in SUCCEEDED:
            reason = " ".join(document["reason"].split())
            depends = bool(before) and document.get("check") in OF_OTHERS
            refused += not depends
            word = f"depends on what comes before it ({before})" if depends else "would be refused"
            line = f"{step.word} {step.module} {word}: {reason}"
        if step.word in ("install", "update", "uninstall"):
            before = f"{step.word} {step.module}"
        teller.tell(line, document)
    if refused:
        raise CallFailed(f"{refused} of {len(plan.steps)} commands would be refused")


async def _outcome(site: Session, plan: SitePlan, step: Step, teller: Teller, how: How) -> tuple[str, dict[str, Any]]:
    if step.word == "move":
        moved = {"kind": "move", "module": step.module, "end": "dry run" if how.dry_run else "done"}
        if how.dry_run:
            return f"move {step.module} {step.reasons[0]} would be asked for", moved
        await _move(site, plan, step, how)
        return f"{step.module}: move done {step.reasons[0]}", moved
    order = order_of(site.where.site, plan, step, how)
    file = order.pop("source", "")

    async def bring(site: Session, to: Entry | None, steps: Steps) -> dict[str, Any]:
        return await offered(file, "", how.via, 0.0).bring(site, to, steps, how.dry_run)

    steps = teller.steps(order["id"], step.word, step.module)
    ended = await Asking(site, step.word, order, steps, how.key, how.expires_s).ended(bring if file else None)
    return line_of(ended), msgspec.to_builtins(ended)


async def _move(site: Session, plan: SitePlan, step: Step, how: How) -> None:
    """Asks until it has moved, or not; with the same id, so that it is done once."""
    sender, to = await ready(site), plan.to
    by_s = time.monotonic() + (how.expires_s or EXPIRES_S)
    named = command_id(site.where.site, to.instance, step, plan.last.get(step.module, ""))
    order = {"name": step.module, **step.order, "reason": "gridlink apply", "id": named, "who": who()}
    while True:
        signed_order = signed("move", order, site.where.site, to, how.key)
        try:
            moved: dict[str, Any] = await sender.request(to.instance, "move", signed_order, timeout_s=MOVE_S)
        except (RequestTimeout, ConnectionLost, NoSuchInstance) as error:
            await asyncio.sleep(AGAIN_S)
            if not await site.back(by_s):
                raise explained(error, to.instance, "move") from error
            sender = await ready(site)
        except Refused:
            raise
        except GridlinkError as error:
            raise explained(error, to.instance, "move") from error
        else:
            if moved["mode"] != step.order["mode"] or moved["state"] != "RUNNING":
                raise CallFailed(f"{step.module} is {moved['state']} in mode {moved['mode']}: {moved['reason']}")
            return
