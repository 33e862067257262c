"""A command's look at a site: a bus connection, the registry as an observer sees it, and a sender.

What a command sends to modules goes through the site's proxies, as what a module sends does.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gridlink.bus.nats import NatsBus
from gridlink.cli.options import Options, Where, find
from gridlink.clock import SiteClock
from gridlink.config import Credentials, credentials, machine_name
from gridlink.errors import NoSuchInstance, TrustInvalid
from gridlink.module.sender import Sender
from gridlink.registry import Entry, Registry
from gridlink.registry.registry import JOIN_S

NAME = "gridlink"  # of the commands, as a policy names them
FAR_JOIN_S = 4.0  # a site behind a control centre: 0.8 s there and back, and packets are lost


@dataclass(frozen=True)
class Session:
    """What a command has of a site while it is connected. `plain` is for what no proxy wraps: what nodes answer."""

    where: Where
    machine: str
    bus: NatsBus
    registry: Registry
    clock: SiteClock
    plain: Sender

    @cached_property
    def sender(self) -> Sender:
        """Sends to modules. Raises ConfigInvalid for a site file that can't be read, or lacks its keys."""
        if self.where.site_file is None:
            return self.plain
        from gridlink.cli.wrapped import wrapped  # noqa: PLC0415 - where a site has proxies

        return wrapped(self.where.site_file, NAME, self.bus, self.registry)

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
    bus = await opened(where)
    try:
        clock = SiteClock()
        async with Registry(bus, machine_name(), clock, observer=True) as registry:
            bus.on_reconnect = registry.rejoin
            try:
                yield Session(where, machine, bus, registry, clock, Sender(bus, f"{NAME}@{bus.node}"))
            finally:
                bus.on_reconnect = None
    finally:
        await bus.aclose()


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
    return replace(given, nkey=str(seed))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a command's coroutine to its end."""
    asyncio.run(main)
