"""The stores by which bundles reach a site's machines: which of them is reached from here, and what lies there."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from appmanager.orders import StoreAt, StoreKept
from appmanager.packed.versions import precedence
from appmanager.transfer.listing import Listed, listed, missing
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import CENTRE, DOMAIN
from gridlink.bus.raw import NoReply
from gridlink.cli.call import ready
from gridlink.cli.session import Session
from gridlink.errors import GridlinkError, Refused, StoreRefused

ANSWERS_WITHIN_S = 5.0
START_ANSWERS_WITHIN_S = 15.0
STARTS_WITHIN_S = 15.0
LOOK_S = 0.2
CALLED = {DOMAIN: "its own", CENTRE: "the control centre's"}


@dataclass(frozen=True, slots=True)
class Reached:
    """A store that answers. `domain`: of JetStream."""

    jetstream: JetStream
    domain: str


class NoStore(GridlinkError):
    """No store of the site is reached."""

    code = 503


async def stores(site: Session, *, looks: bool = False) -> list[Reached]:
    """Those that answer, the one first that a bundle is put into: the control centre's at the centre, else the site's.

    Where none does, the site's own is started; not for one who only `looks` where that has nothing: then there is none.
    Raises NoStore, with what was said and what to do.
    """
    found, said = await _answering(site)
    if not found and looks and await _keeps_nothing(site):
        return []
    if not found:
        said += await _started(site)
        by_s = time.monotonic() + STARTS_WITHIN_S
        while not found and not said[len(CALLED) :] and time.monotonic() < by_s:
            await asyncio.sleep(LOOK_S)
            found, _ = await _answering(site)
    if found:
        return found
    raise NoStore(
        f"site {site.where.site} has no store that is reached from here ({'; '.join(said)}): give it one (JetStream in "
        "its nats-server, or an uplink to a control centre), or copy the file to the machine and install it there"
    )


async def _answering(site: Session) -> tuple[list[Reached], list[str]]:
    """The stores that answer, and what is said of the others."""
    found, said = [], []
    for domain in (CENTRE, DOMAIN) if site.bus.store_domain == CENTRE else (DOMAIN, CENTRE):
        jetstream = JetStream(site.bus.raw(), domain)
        try:
            await jetstream.call("INFO", timeout_s=ANSWERS_WITHIN_S)
        except (*NoReply, StoreRefused) as error:
            said.append(f"{CALLED[domain]}: {error}")
            continue
        found.append(Reached(jetstream, domain))
    return found, said


async def _keeps_nothing(site: Session) -> bool:
    """Whether the machine that is to run the site's own store says that it has nothing; no where that can't be told."""
    managers = [one.instance for one in site.registry.find(role="appmanager")]
    if not managers:
        return False
    sender = await ready(site)
    try:
        found = await sender.request(managers[0], "storeKept", reply=StoreKept, timeout_s=ANSWERS_WITHIN_S)
        there = f"appmanager@{found.node}"
        if there in managers and there != managers[0]:
            found = await sender.request(there, "storeKept", reply=StoreKept, timeout_s=ANSWERS_WITHIN_S)
    except GridlinkError:  # an older AppManager, or a site without a store: whoever starts it is told why
        return False
    return not found.kept


async def _started(site: Session) -> list[str]:
    """Has the site's own store started, by the AppManager of the machine that is to run it; why it isn't, else."""
    managers = [one.instance for one in site.registry.find(role="appmanager")]
    if not managers:
        return ["no AppManager is reached that could start it"]
    sender = await ready(site)
    try:
        at = await sender.request(managers[0], "startStore", reply=StoreAt, timeout_s=START_ANSWERS_WITHIN_S)
        there = f"appmanager@{at.node}"
        if there in managers and there != managers[0]:
            await sender.request(there, "startStore", reply=StoreAt, timeout_s=START_ANSWERS_WITHIN_S)
    except GridlinkError as error:
        return [str(error)]
    return []


async def newest(site: Session, name: str, version: str = "") -> Listed:
    """The bundle of that name that a store has whole: of the version, or of the highest. Raises NoStore, Refused."""
    there: list[tuple[Reached, Listed]] = []
    for store in await stores(site, looks=True):
        there += [(store, one) for one in await listed(store.jetstream, site.where.site, store.domain, name)]
    wanted = [pair for pair in there if version in ("", pair[1].version)]
    for store, one in sorted(wanted, key=lambda pair: precedence(pair[1].version), reverse=True):
        if not await missing(store.jetstream, site.where.site, one):
            return one
    versions = ", ".join(sorted({one.version for _, one in there})) or "none of it"
    what = f"{name} {version}".strip()
    raise Refused(
        f"{what} isn't whole in a store of site {site.where.site} (there: {versions}): give its file, NAME-VERSION.glb"
    )


async def lying(site: Session, name: str, version: str, digest: str) -> str:
    """Where a bundle lies whole in a store that answers, as a command's `source`; empty where none has it.

    No store is started for that.
    """
    found, _ = await _answering(site)
    for store in found:
        for one in await listed(store.jetstream, site.where.site, store.domain, name):
            if (one.version, one.digest) == (version, digest) and not await missing(
                store.jetstream, site.where.site, one
            ):
                return one.source
    return ""
