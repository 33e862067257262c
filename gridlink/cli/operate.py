"""How commands reach an AppManager: which one it is, asking until there is an outcome, and showing the steps.

A command has an id. After a lost link it is asked again with the same one, and nothing is done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from appmanager.operated import TOPIC
from appmanager.orders import Begun, Ended
from gridlink import address
from gridlink.bus.protocol import Answer
from gridlink.cli.call import CallFailed, explained, ready
from gridlink.cli.options import Options
from gridlink.cli.output import print_json
from gridlink.cli.rollout import is_several
from gridlink.cli.session import Session, session
from gridlink.cli.steps import Steps
from gridlink.codec import codec
from gridlink.config import machine_name
from gridlink.errors import (
    ConnectionLost,
    GridlinkError,
    NoSuchInstance,
    NoSuchRole,
    PayloadInvalid,
    Refused,
    RequestTimeout,
)
from gridlink.message import Message

ASK_S = 10.0
AGAIN_S = 0.2
PRESENT_S = 6.0
ROLE = "appmanager"
SUCCEEDED = ("done", "dry run")
EXPIRES = click.option(
    "--expires",
    "expires_s",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="S",
    help="For how long it is worth doing.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, or why not, and do nothing.")
YES = click.option("--yes", is_flag=True, help="Also where it is the last door to the outside.")


def new_id() -> str:
    """An id for a command."""
    return secrets.token_hex(8)


def who() -> str:
    """Who asks, for the record."""
    return f"{getpass.getuser()}@{machine_name()}"


async def ask(options: Options, type: str, order: dict[str, Any], as_json: bool, expires_s: float = 600.0) -> None:
    """Has a command carried out and shows its steps and its outcome. Raises CallFailed with the reason."""
    if is_several(options.site):
        from gridlink.cli.waves import ask_sites  # noqa: PLC0415 - for several sites alone

        await ask_sites(options, type, order, as_json, expires_s)
        return
    async with session(options) as site:
        with Steps(order["module"], as_json) as steps:
            ended = await carried_out(site, type, order, steps.begun, expires_s)
    show(ended, as_json)


async def carried_out(
    site: Session, type: str, order: dict[str, Any], begun: Callable[[Begun], None], expires_s: float
) -> Ended:
    """Has a command carried out at one site, whatever becomes of it. Raises CallFailed, Refused: nothing was begun."""
    await present(site)
    to = appmanager(site, order["module"])
    subscription = await site.bus.subscribe(address.topic(TOPIC), "step", Heard(order["id"], begun))
    try:
        return await _until_ended(site, to, type, order, expires_s)
    finally:
        await subscription.aclose()


async def _until_ended(site: Session, to: str, type: str, order: dict[str, Any], expires_s: float) -> Ended:
    sender, by_s = await ready(site), time.monotonic() + expires_s
    while True:
        try:
            ended: Ended = await sender.request(to, type, order, reply=Ended, timeout_s=ASK_S)
            if ended.end != "under way":
                return ended
        except Refused as error:
            raise CallFailed(str(error)) from error
        except (RequestTimeout, ConnectionLost, NoSuchInstance) as error:
            if time.monotonic() > by_s:
                raise explained(error, to, type) from error
            await asyncio.sleep(AGAIN_S)  # its node is being replaced, or the link is gone
            await site.bus.connected()
        except GridlinkError as error:
            raise explained(error, to, type) from error


async def present(site: Session) -> None:
    """Returns when an AppManager is seen: a far site's first word may be lost on the way, the next one come late."""
    if site.where.managed is None and not site.registry.find(role=ROLE):
        with contextlib.suppress(RequestTimeout):
            await site.registry.wait_for(role=ROLE, timeout_s=PRESENT_S)


def appmanager(site: Session, module: str = "") -> str:
    """The AppManager that is meant: the one of the module, or of `--machine`, or the only one. Raises Refused."""
    found = {e.instance: e.machine for e in site.registry.find(role=ROLE) if site.machine in ("", e.machine)}
    of_module = {name for e in site.entries() if e.name == module for name in e.managed_by} & found.keys()
    if len(of_module) == 1:
        return of_module.pop()
    if len(found) == 1:
        return next(iter(found))
    if not found:
        at = f" on machine {site.machine}" if site.machine else ""
        raise NoSuchRole(f"no AppManager is running at site {site.where.site}{at}: `gridlink ls` lists what is")
    listed = ", ".join(f"{machine} ({instance})" for instance, machine in sorted(found.items()))
    raise Refused(f"several AppManagers are meant: {listed}: say which, by `gridlink --machine NAME …`")


class Heard:
    """Keeps gridlink.bus.Receiver: the steps of one command."""

    def __init__(self, id: str, begun: Callable[[Begun], None]) -> None:
        self._id, self._begun = id, begun

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """Nobody asks it."""
        return NoSuchInstance("it takes events alone")

    def take_event(self, message: Message) -> None:
        """A step of a command."""
        try:
            begun = codec(Begun).decode(message.payload)
        except PayloadInvalid:
            return  # another release's: the outcome comes all the same
        if begun.id == self._id:
            self._begun(begun)


def show(ended: Ended, as_json: bool) -> None:
    """Prints an outcome. Raises CallFailed, unless it is done."""
    if as_json:
        print_json(asdict(ended), indent=False)
    if ended.end not in SUCCEEDED:
        raise CallFailed(line_of(ended))
    if not as_json:
        click.echo(line_of(ended))


def line_of(ended: Ended) -> str:
    """An outcome as a line for people."""
    if ended.end == "dry run":
        return f"{ended.kind} {ended.module}{_versions(ended)} would take the steps {', '.join(ended.steps)}"
    if ended.end == "done":
        more = f" ({ended.reason})" if ended.reason else ""
        return f"{ended.module}: {ended.kind} done{_versions(ended)}{more}"
    at = f" in step {ended.step}" if ended.step else ""
    return f"{ended.kind} {ended.module} {ended.end}{at}: {ended.reason}"


def _versions(ended: Ended) -> str:
    if ended.was and ended.becomes and ended.was != ended.becomes:
        return f" {ended.was} -> {ended.becomes}"
    version = ended.becomes or ended.was
    return f" {version}" if version else ""
