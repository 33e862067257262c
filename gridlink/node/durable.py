"""What an instance needs for the durable topics of its manifest. Loaded where there are some, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gridlink.bus.durable.document import stream_name
from gridlink.bus.durable.settings import DOMAIN, JetStreamSettings
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.protocol import Bus
from gridlink.bus.raw import NoReply
from gridlink.contract import Contract
from gridlink.errors import AccessDenied, ConnectionLost, ModuleInvalid, StoreRefused
from gridlink.manifest import Manifest

if TYPE_CHECKING:
    from gridlink.bus.nats import NatsBus
    from gridlink.proxies.site import SiteFile

log = logging.getLogger("gridlink.node")

STORE_WITHIN_S = 5.0


async def durable_topics(bus: Bus, manifest: Manifest, contract: Contract, site_file: SiteFile | None) -> DurableTopics:
    """The durable topics of a module, with the streams of those that it publishes made, if the store is there yet.

    Raises ModuleInvalid where there is no NATS, or for a topic that the module has nothing to do with.
    """
    heard = {one.topic for one in contract.heard}
    unknown = [name for name in manifest.durable if name not in heard and name not in contract.published]
    if unknown:
        raise ModuleInvalid(
            f"module.json: durable: expected topics that {manifest.name} publishes or subscribes to, got "
            f"{unknown[0]!r}: correct it"
        )
    if not bus.url:
        raise ModuleInvalid(
            f"module.json: durable: {', '.join(manifest.durable)} can't be kept without NATS: leave --bus local out"
        )
    from gridlink.bus.nats import NatsBus  # noqa: PLC0415 - loaded long ago: there is a URL

    if not isinstance(bus, NatsBus):
        raise ModuleInvalid(f"durable topics need NATS, got {type(bus).__name__}")
    await _check_allowed(bus, manifest)
    settings = site_file.document.jetstream if site_file is not None else None
    topics = DurableTopics(bus, manifest.durable, settings or JetStreamSettings())
    try:
        async with asyncio.timeout(STORE_WITHIN_S):
            await _ensure(topics, [name for name in manifest.durable if name in contract.published])
    except (*NoReply, TimeoutError) as error:
        log.warning("%s: the store of its durable topics isn't there yet: %s", manifest.name, error)
    except StoreRefused as error:
        raise ModuleInvalid(f"{manifest.name}: {error}: see `jetstream` in the site file") from error
    return topics


async def _check_allowed(bus: NatsBus, manifest: Manifest) -> None:
    """Raises ModuleInvalid where the server lets the node make no streams: it would try, and wait, for ever."""
    create = f"$JS.{DOMAIN}.API.STREAM.CREATE.{stream_name(manifest.durable[0])}"
    try:
        await bus.say_surely(create, b"")  # it makes nothing: it names no settings, and nobody to answer
    except ConnectionLost as error:
        log.debug("%s: whether it may have durable topics isn't known: %s", manifest.name, error)
    except AccessDenied as error:
        raise ModuleInvalid(
            f"module.json: durable: {', '.join(manifest.durable)} can't be kept for {manifest.name}: the site's policy "
            f"lets node {bus.node} make no streams (docs/cluster.md): take `durable` out, or run the module where the "
            "credentials aren't bounded by a policy"
        ) from error


async def _ensure(topics: DurableTopics, names: list[str]) -> None:
    """Makes the streams; a server that is just starting is waited for."""
    for name in names:
        while True:
            try:
                await topics.ensure(name)
                break
            except NoReply as error:
                log.debug("the store of topic %s: %s", name, error)
                await asyncio.sleep(0.1)
