"""A command's look at a site: a bus connection, the registry as an observer sees it, and a sender.

What a command sends to modules goes through the site's proxies, as what a module sends does.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import structs

from gridlink.bus.nats import NatsBus
from gridlink.cli.options import NodeNotFound, Options, Where, find
from gridlink.clock import SiteClock
from gridlink.config import Credentials, credentials, machine_name
from gridlink.errors import NoSuchInstance, ServerUnreachable, TrustInvalid
from gridlink.module.sender import Sender
from gridlink.registry import Entry, Registry
from gridlink.registry.registry import JOIN_S

NAME = "gridlink"  # of the commands, as a policy names them
FAR_JOIN_S = 4.0  # a site behind a control centre: 0.8 s there and back, and packets are lost
FOLLOW_S = 0.5  # between looks whether the node of `-C` was started anew


@dataclass(frozen=True, slots=True)
class Link:
    """A connection to a site, and what is seen over it. `ends` closes it."""

    bus: NatsBus
    registry: Registry
    plain: Sender
    ends: AsyncExitStack


@dataclass(eq=False)
class Session:
    """What a command has of a site while it is connected. After `back` its `where` and `link` may be others."""

    where: Where
    machine: str
    clock: SiteClock
    link: Link

    @property
    def bus(self) -> NatsBus:
        """The connection."""
        return self.link.bus

    @property
    def registry(self) -> Registry:
        """What is known of the site."""
        return self.link.registry

    @property
    def plain(self) -> Sender:
        """For what no proxy wraps: what nodes answer."""
        return self.link.plain

    @cached_property
    def sender(self) -> Sender:
        """Sends to modules. Raises ConfigInvalid for a site file that can't be read, or lacks its keys."""
        if self.where.site_file is None:
            return self.plain
        from gridlink.cli.wrapped import wrapped  # noqa: PLC0415 - where a site has proxies

        return wrapped(self.where.site_file, NAME, self.bus, self.registry)

    async def back(self, by_s: float) -> bool:
        """Waits until the site is reached again, until `by_s` (of time.monotonic) at most; whether it is.

        With `-C` the node may have been started anew, at another address: node.json is read again.
        """
        while (left_s := by_s - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    if await self._followed():
                        return True
                async with asyncio.timeout(min(left_s, FOLLOW_S)):
                    await self.bus.connected()
                    return True
            except TimeoutError:
                continue
        return False

    async def _followed(self) -> bool:
        """Whether the node of `-C` is at another address now, and is connected to there."""
        if self.where.managed is None:
            return False
        try:
            where = find(Options(self.where.managed, site=self.where.site, site_file=self.where.site_file))
            if where.url == self.where.url:
                return False
            link = await _linked(where, self.clock)
        except (NodeNotFound, ServerUnreachable):
            return False  # it doesn't run yet: `back` looks again
        old, self.link, self.where = self.link, link, where
        self.__dict__.pop("sender", None)
        await old.ends.aclose()
        await self.registry.joined(JOIN_S)
        return True

    def entries(self) -> list[Entry]:
        """The site's instances, on `--machine` alone if that was given, by name."""
        return [e for e in self.registry.instances() if not self.machine or e.machine == self.machine]

    def named(self, name: str) -> list[Entry]:
        """The instances of that module's name, or the one of that instance name. Raises NoSuchInstance."""
        entries = self.entries()
        found = [e for e in entries if name in (e.name, e.instance)]
        if not found:
            names = sorted({e.name for e in entries})
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
            at = f" on machine {self.machine}" if self.machine else ""
            raise NoSuchInstance(f"no module or instance {name!r} at site {self.where.site}{at}: {hint}")
        return found


@asynccontextmanager
async def session(options: Options, *, look: bool = True) -> AsyncIterator[Session]:
    """Connects to the site that the options mean; knows its modules on entry, unless `look` is False.

    Raises NodeNotFound, ServerUnreachable.
    """
    async with connected(find(options), options.machine) as one:
        if look:
            await one.registry.joined(JOIN_S if one.where.managed is not None else FAR_JOIN_S)
        yield one


@asynccontextmanager
async def connected(where: Where, machine: str = "") -> AsyncIterator[Session]:
    """Connects to a site and begins to observe it unseen; leaves it at the end. Raises ServerUnreachable."""
    clock = SiteClock()
    one = Session(where, machine, clock, await _linked(where, clock))
    try:
        yield one
    finally:
        await one.link.ends.aclose()


async def _linked(where: Where, clock: SiteClock) -> Link:
    async with AsyncExitStack() as opening:
        bus = await opened(where)
        opening.push_async_callback(bus.aclose)
        registry = await opening.enter_async_context(Registry(bus, machine_name(), clock, observer=True))
        bus.on_reconnect = registry.rejoin
        opening.callback(setattr, bus, "on_reconnect", None)
        return Link(bus, registry, Sender(bus, f"{NAME}@{bus.node}"), opening.pop_all())


async def opened(where: Where) -> NatsBus:
    """A connection to a site's server; whoever asks closes it. Raises ServerUnreachable, TrustInvalid."""
    bus = NatsBus(where.site, f"cli-{os.getpid()}-{secrets.token_hex(3)}")
    own = own_key(credentials({**where.environment, **os.environ}), where.site)
    log = logging.getLogger("gridlink.bus")
    level = log.level
    log.setLevel(logging.ERROR)  # a connection that can't be made is one line, ours
    try:
        await bus.connect(where.url, own)
    finally:
        log.setLevel(level)
    return bus


def own_key(given: Credentials, site: str) -> Credentials:
    """NATS_NKEY may be a directory of seeds, SITE.nk each, as a control centre's `hub/operators`: the site's is meant.

    Raises TrustInvalid.
    """
    if given.nkey is None or not Path(given.nkey).is_dir():
        return given
    seed = Path(given.nkey) / f"{site}.nk"
    if not seed.exists():
        raise TrustInvalid(f"NATS_NKEY is a directory without {seed.name}: there is no key for site {site}")
    return structs.replace(given, nkey=str(seed))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a command's coroutine to its end."""
    asyncio.run(main)
