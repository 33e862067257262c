"""A store, and the two ends of a transfer over it: an operator's connection and a board's."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.nats import NatsBus
from tests.gridlink.store import Store, new_store

SITE = "test"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that the test may kill."""
    with new_store(tmp_path / "servers") as store:
        yield store


@pytest.fixture
async def desk(store: Store) -> AsyncIterator[JetStream]:
    """The operator's way to it."""
    async for one in _connected(store, "desk"):
        yield one


@pytest.fixture
async def board(store: Store) -> AsyncIterator[JetStream]:
    """The board's way to it."""
    async for one in _connected(store, "board"):
        yield one


async def _connected(store: Store, node: str) -> AsyncIterator[JetStream]:
    bus = NatsBus(SITE, node)
    await bus.connect(store.url)
    yield JetStream(bus.raw())
    await bus.aclose()


@pytest.fixture
def glb(tmp_path: Path) -> Path:
    """A file of 20 chunks and a half."""
    file = tmp_path / "desk" / "lamp.glb"
    file.parent.mkdir()
    file.write_bytes(random.Random(1).randbytes(20 * 128 * 1024 + 70_000))
    return file


def content(file: Path) -> bytes:
    """What a file holds."""
    return file.read_bytes()


def fill(file: Path, body: bytes) -> int:
    """Gives a file another content; returns its size in bytes."""
    return file.write_bytes(body)
