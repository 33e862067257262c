"""The stores by which bundles reach a site's machines: which of them is reached from here, and what lies there."""

from __future__ import annotations

from dataclasses import dataclass

from appmanager.packed.versions import precedence
from appmanager.transfer.listing import Listed, listed, missing
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import CENTRE, DOMAIN
from gridlink.bus.raw import NoReply
from gridlink.cli.session import Session
from gridlink.errors import GridlinkError, Refused, StoreRefused

ANSWERS_WITHIN_S = 5.0
CALLED = {DOMAIN: "its own", CENTRE: "the control centre's"}


@dataclass(frozen=True, slots=True)
class Reached:
    """A store that answers. `domain`: of JetStream."""

    jetstream: JetStream
    domain: str


class NoStore(GridlinkError):
    """No store of the site is reached."""

    code = 503


async def stores(site: Session) -> list[Reached]:
    """Those that answer, the one first that a bundle is put into: the control centre's at the centre, else the site's.

    Raises NoStore, with what each of them said and what to do.
    """
    here = site.bus.store_domain
    found, said = [], []
    for domain in (CENTRE, DOMAIN) if here == CENTRE else (DOMAIN, CENTRE):
        jetstream = JetStream(site.bus.raw(), domain)
        try:
            await jetstream.call("INFO", timeout_s=ANSWERS_WITHIN_S)
        except (*NoReply, StoreRefused) as error:
            said.append(f"{CALLED[domain]}: {error}")
            continue
        found.append(Reached(jetstream, domain))
    if found:
        return found
    raise NoStore(
        f"site {site.where.site} has no store that is reached from here ({'; '.join(said)}): give it one, by "
        '{"jetstream": {}} in the site.json of one node and a restart of that; or copy the file to the machine, and '
        "install it there"
    )


async def newest(site: Session, name: str, version: str = "") -> Listed:
    """The bundle of that name that a store has whole: of the version, or of the highest. Raises NoStore, Refused."""
    there: list[tuple[Reached, Listed]] = []
    for store in await stores(site):
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
