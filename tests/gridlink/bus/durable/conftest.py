"""A store for the tests of durable topics, and buses over it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.nats import NatsBus
from tests.gridlink.store import Store, new_store


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all tests that don't harm it; each uses a topic of its own."""
    with new_store(tmp_path_factory.mktemp("store") / "servers") as store:
        yield store


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
async def bus(shared_store: Store) -> AsyncIterator[NatsBus]:
    """A node's bus over the shared store."""
    bus = NatsBus("test", "n1")
    await bus.connect(shared_store.url)
    yield bus
    await bus.aclose()


@pytest.fixture
def topics(bus: NatsBus, topic: str) -> DurableTopics:
    """The durable topics of an instance that declares `topic`."""
    return DurableTopics(bus, (topic,), JetStreamSettings())
