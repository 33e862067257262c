"""The durable topics of one instance: what stores events of a topic, and what reads them for a module."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from gridlink.bus.durable.document import stream_config
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.reading import Reader
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.durable.storing import Storing
from gridlink.message import Call

if TYPE_CHECKING:
    from gridlink.bus.nats import NatsBus


class DurableTopics:
    """Made for an instance whose bundle declares `names` durable."""

    def __init__(self, bus: NatsBus, names: Collection[str], settings: JetStreamSettings) -> None:
        self._bus, self._names, self._settings = bus, names, settings
        self._jetstream = JetStream(bus.raw())
        self._storing: dict[str, Storing] = {}

    async def ensure(self, topic: str) -> Any:
        """Makes the topic's stream where it isn't there. Raises StoreRefused, StoreUnavailable and the like."""
        return await self._jetstream.ensure_stream(stream_config(self._bus.site, topic, self._settings.kept(topic)))

    def publisher(self, topic: str) -> Call | None:
        """What takes events of the topic and returns when they are stored (Storing.publish); None for other topics."""
        if topic not in self._names:
            return None
        storing = self._storing.get(topic)
        if storing is None:
            ensure = partial(self.ensure, topic)
            storing = self._storing[topic] = Storing(self._bus, self._jetstream, topic, ensure)
        return storing.publish

    def reader(self, topic: str, module: str, on_missed: Callable[[int], None]) -> Reader:
        """What reads the topic for a module; all instances of a module share what there is to read."""
        kept = self._settings.kept(topic)
        return Reader(self._jetstream, topic, module, kept, partial(self.ensure, topic), on_missed)
