"""Has the site's store (its JetStream server) started on this machine when it is first asked for.

A bundle that declares a durable topic asks for it, and whoever puts a file into it for a transfer. Once asked for it
runs until the node ends; which node that is, the site file says, or it is the only one. Loaded with the first asking.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from appmanager.orders import StoreAt
from gridlink.bus.durable.settings import DOMAIN
from gridlink.errors import ConfigInvalid, Refused, ServerUnreachable, StoreUnavailable, TrustInvalid
from gridlink.node.leaf import configuration_file, plan_leaf, read_place, unnamed, write_leaf_file

if TYPE_CHECKING:
    from appmanager.link import GuardianLink
    from gridlink.node.leaf import StorePlace

LISTENS_WITHIN_S = 10.0


class DurableStore:
    """Of one managed directory."""

    def __init__(self, managed: Path, site_file: str, link: GuardianLink) -> None:
        self._managed, self._link = managed, link
        self._site_file = Path(site_file) if site_file else managed / "site.json"
        self._state = managed / ".gridlink"

    def check(self, module: str) -> None:
        """Raises Refused where a module's durable topics would never have a store."""
        place = read_place(self._state)
        if place is not None and not place.store:
            raise Refused(str(unnamed(self._site_file, f"{module}, which declares durable topics,")))

    def needed(self) -> None:
        """Asks for the store where bundles of the managed directory declare durable topics, and it is to run here.

        Raises Refused: its settings are wrong.
        """
        place = read_place(self._state)
        if place is not None and place.store == place.node:
            self._start(place, wanted=False)

    async def started(self) -> StoreAt:
        """Returns when the store listens; a moment later the domain is reached through the site's servers.

        Raises Refused: this site has none of its own, or its settings are wrong; StoreUnavailable: it doesn't start.
        Cancelled, it is started all the same.
        """
        place = read_place(self._state)
        if place is None:
            raise Refused(
                "the bus of this node isn't its own (--nats, --bus local): the nats-server that was given needs "
                f"JetStream with the domain {DOMAIN}, itself or by a leaf"
            )
        if not place.store:
            raise Refused(str(unnamed(self._site_file, "a transfer")))
        if place.store == place.node:
            self._start(place, wanted=True)
            try:
                async with asyncio.timeout(LISTENS_WITHIN_S):
                    await self._link.store_listens()
            except TimeoutError as error:
                raise StoreUnavailable(
                    f"the site's JetStream server didn't listen within {LISTENS_WITHIN_S:g} s: see "
                    f"{configuration_file(self._state).with_name('nats-server.log')}"
                ) from error
        return StoreAt(place.store, DOMAIN)

    def _start(self, place: StorePlace, *, wanted: bool) -> None:
        if not configuration_file(self._state).exists():
            try:
                plan = plan_leaf(self._managed, self._site_file, place.node, place.clustered, wanted=wanted)
            except (ConfigInvalid, TrustInvalid, ServerUnreachable) as error:
                raise Refused(str(error)) from error
            if plan is None:
                return
            write_leaf_file(self._state, plan, place)
        self._link.start_store()
