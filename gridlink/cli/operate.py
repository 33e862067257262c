"""How commands reach an AppManager: which one it is, asking until there is an outcome, and showing the steps.

A command has an id. After a lost link it is asked again with the same one, and nothing is done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from appmanager.operated import TOPIC
from appmanager.orders import EXPIRES_S, Begun, Ended, Word
from gridlink import address
from gridlink.bus.protocol import Answer, Subscription
from gridlink.cli.call import CallFailed, explained, ready
from gridlink.cli.operator_key import key_file, signed
from gridlink.cli.options import Options
from gridlink.cli.output import print_json
from gridlink.cli.rollout import is_several
from gridlink.cli.session import Link, Session, session
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
from gridlink.module.sender import Sender
from gridlink.registry import Entry

ASK_S = 10.0
AGAIN_S = 0.2
ROLE = "appmanager"
PRESENT_S = 6.0
SUCCEEDED = ("done", "dry run")
EXPIRES = click.option(
    "--expires",
    "expires_s",
    type=click.FloatRange(min=1),
    metavar="S",
    help="For how long it is worth doing; if given, a site that isn't reached now is waited for.  [600]",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, or why not, and do nothing.")
YES = click.option("--yes", is_flag=True, help="Also where it is the last door to the outside.")


def new_id() -> str:
    """An id for a command."""
    return secrets.token_hex(8)


def who() -> str:
    """Who asks, for the record."""
    return f"{getpass.getuser()}@{machine_name()}"


Bring = Callable[[Session, Entry | None, Steps], Awaitable[dict[str, Any]]]
"""Has a command's bundle where the AppManager, if it is known, finds it; what the order says of that."""


async def ask(
    options: Options,
    type: Word,
    order: dict[str, Any],
    as_json: bool,
    expires_s: float | None = None,
    bring: Bring | None = None,
) -> None:
    """Has a command carried out and shows its steps and its outcome. Raises CallFailed with the reason.

    `expires_s`: for how long; where it is given, an AppManager that isn't reached now is waited for.
    """
    if is_several(options.site):
        from gridlink.cli.waves import ask_sites  # noqa: PLC0415 - for several sites alone

        await ask_sites(options, type, order, as_json, expires_s, bring)
        return
    async with session(options) as site:
        with Steps(order["id"], type, order["module"], as_json) as steps:
            ended = await Asking(site, type, order, steps, key_file(options), expires_s).ended(bring)
    show(ended, as_json)


class Asking:
    """One command to one site, until it has ended."""

    def __init__(
        self,
        site: Session,
        type: Word,
        order: dict[str, Any],
        steps: Steps,
        key: Path | None = None,
        expires_s: float | None = None,
    ) -> None:
        """`key`: the file with the seed of the operator who signs it."""
        self._site, self._type, self._order, self._steps, self._key = site, type, order, steps, key
        self._waits = expires_s is not None
        self._by_s = time.monotonic() + (EXPIRES_S if expires_s is None else expires_s)
        self._over: Link | None = None
        self._asks: Sender | None = None
        self._hears: Subscription | None = None

    async def ended(self, bring: Bring | None = None) -> Ended:
        """Its outcome. Raises CallFailed, and what finding the AppManager and `bring` raise."""
        await present(self._site)
        to = self._look()
        if bring is not None:
            self._order |= await self._brought(bring, to)
        while to is None:
            await asyncio.sleep(AGAIN_S)
            await self._site.back(self._by_s)
            to = self._look()
        try:
            return await self._until_ended(to)
        finally:
            if self._hears is not None:
                await self._hears.aclose()

    def _look(self) -> Entry | None:
        """The AppManager that is meant; None while it is to be waited for."""
        try:
            return appmanager(self._site, self._order["module"])
        except NoSuchRole as error:
            if not self._waits or time.monotonic() > self._by_s:
                raise
            self._steps.waits(str(error))
            return None

    async def _brought(self, bring: Bring, to: Entry | None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._by_s - time.monotonic()):
                return await bring(self._site, to, self._steps)
        except TimeoutError as error:
            raise RequestTimeout(
                "the bundle could not be sent in the time that the command has: again, and it goes on where it was"
            ) from error

    async def _until_ended(self, to: Entry) -> Ended:
        while True:
            self._order["expires_s"] = max(1.0, self._by_s - time.monotonic())
            order = signed(self._type, self._order, self._site.where.site, to, self._key)
            try:
                sender = await self._sender()
                ended: Ended = await sender.request(to.instance, self._type, order, reply=Ended, timeout_s=ASK_S)
                if ended.end != "under way":
                    return ended
            except Refused as error:
                raise CallFailed(str(error)) from error
            except (RequestTimeout, ConnectionLost, NoSuchInstance) as error:
                await asyncio.sleep(AGAIN_S)  # its node is being replaced, or the link is gone
                if not await self._site.back(self._by_s):
                    raise explained(error, to.instance, self._type) from error
            except GridlinkError as error:
                raise explained(error, to.instance, self._type) from error

    async def _sender(self) -> Sender:
        """What sends over the present link, once the steps are heard over it."""
        if self._asks is None or self._over is not self._site.link:
            asks = await ready(self._site)
            heard = Heard(self._order["id"], self._steps.begun)
            self._hears = await self._site.bus.subscribe(address.topic(TOPIC), "step", heard)
            self._asks, self._over = asks, self._site.link
        return self._asks


async def present(site: Session) -> None:
    """Returns when an AppManager is seen: a far site's first word may be lost on the way, the next one come late."""
    if site.where.managed is None and not site.registry.find(role=ROLE):
        with contextlib.suppress(RequestTimeout):
            await site.registry.wait_for(role=ROLE, timeout_s=PRESENT_S)


def appmanager(site: Session, module: str = "") -> Entry:
    """The AppManager that is meant: the one of the module, or of `--machine`, or the only one. Raises Refused."""
    found = {e.instance: e for e in site.registry.find(role=ROLE) if site.machine in ("", e.machine)}
    of_module = {name for e in site.entries() if e.name == module for name in e.managed_by} & found.keys()
    if len(of_module) == 1:
        return found[of_module.pop()]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        at = f" on machine {site.machine}" if site.machine else ""
        raise NoSuchRole(f"no AppManager is running at site {site.where.site}{at}: `gridlink ls` lists what is")
    listed = ", ".join(f"{e.machine} ({instance})" for instance, e in sorted(found.items()))
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
        print_json(msgspec.to_builtins(ended), indent=False)
    if ended.end not in SUCCEEDED:
        raise CallFailed(line_of(ended))
    if not as_json:
        click.echo(line_of(ended))


def line_of(ended: Ended) -> str:
    """An outcome as a line for people."""
    if ended.end == "dry run":
        steps = f"{ended.kind} {ended.module}{_versions(ended)} would take the steps {', '.join(ended.steps)}"
        return "; ".join((steps, *ended.notes))
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
