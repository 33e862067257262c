"""Has the site's store (its JetStream server) started on this machine when it is first asked for.

A bundle that declares a durable topic asks for it, and whoever puts a file into it for a transfer. Once asked for it
runs until the node ends; which node that is, the site file says, or it is the only one. Loaded with the first asking.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from appmanager.orders import StoreAt, StoreKept
from gridlink.bus.durable.settings import DOMAIN
from gridlink.errors import ConfigInvalid, Refused, ServerUnreachable, StoreUnavailable, TrustInvalid
from gridlink.node.leaf import (
    configuration_file,
    plan_leaf,
    read_place,
    running_configuration,
    store_directory,
    unnamed,
    write_leaf_file,
)

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
        """Asks for the store, for a bundle that declares durable topics, if it is to run here.

        Raises Refused: its settings are wrong.
        """
        place = read_place(self._state)
        if place is not None and place.store == place.node:
            self._start(place, anew=False)

    async def started(self) -> StoreAt:
        """Returns when the store listens; a moment later the domain is reached through the site's servers.

        Where site.json says something else of it than when it was started (MQTT, for one), it is started anew.
        Raises Refused: this site has none of its own, or its settings are wrong; StoreUnavailable: it doesn't start.
        Cancelled, it is started all the same.
        """
        place = self._place()
        if place.store == place.node:
            self._start(place, anew=True)
            try:
                async with asyncio.timeout(LISTENS_WITHIN_S):
                    await self._link.store_listens()
            except TimeoutError as error:
                raise StoreUnavailable(
                    f"the site's JetStream server didn't listen within {LISTENS_WITHIN_S:g} s: see "
                    f"{configuration_file(self._state).with_name('nats-server.log')}"
                ) from error
        return StoreAt(place.store, DOMAIN)

    def kept(self) -> StoreKept:
        """Whether the store has something, or may have it; it isn't started. Raises Refused, as `started`, and OSError.

        A store that is started and given nothing has directories alone.
        """
        place, directory = self._place(), store_directory(self._state)
        asked_for = place.store != place.node or bool(running_configuration(self._state))
        return StoreKept(place.store, asked_for or _has_files(directory))

    def _place(self) -> StorePlace:
        """Where this site's own store is to run. Raises Refused: it has none."""
        place = read_place(self._state)
        if place is None:
            raise Refused(
                "the bus of this node isn't its own (--nats, --bus local): the nats-server that was given needs "
                f"JetStream with the domain {DOMAIN}, itself or by a leaf"
            )
        if not place.store:
            raise Refused(str(unnamed(self._site_file, "a transfer")))
        return place

    def _start(self, place: StorePlace, *, anew: bool) -> None:
        """Has it run. `anew`: with what site.json says now, else as it runs."""
        running, changed = running_configuration(self._state), False
        if anew or not running:
            try:
                plan = plan_leaf(
                    self._managed, self._site_file, place.node, place.clustered, wanted=True, running=running
                )
            except (ConfigInvalid, TrustInvalid, ServerUnreachable) as error:
                raise Refused(str(error)) from error
            if plan is None:
                raise Refused(f"{self._site_file} names another machine for the store than when this node was started: "
                              "start it again")  # fmt: skip
            changed = write_leaf_file(self._state, plan, place)
        self._link.start_store(anew=bool(running) and changed)


def _has_files(directory: Path) -> bool:
    """Whether there is anything but directories. Raises OSError: it can't be told."""

    def refused(error: OSError) -> None:
        raise error

    return directory.exists() and any(files for _, _, files in os.walk(directory, onerror=refused))
