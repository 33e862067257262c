"""A node whose server allows it what a policy says and no more: its durable topics work, others' are out of reach."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gridlink import address
from gridlink.bus.durable import storing
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.reading import NEXT
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.nats import NatsBus
from gridlink.config import Credentials
from gridlink.errors import GridlinkError
from gridlink.message import Message
from gridlink.proxies.policy import Rule, permissions
from tests.gridlink.store import new_store

POLICY = (Rule("source", "topic numbers"),)


def authorization(*modules: str) -> str:
    """A user for a node that runs the modules, and one who may all."""
    rights: dict[str, Any] = permissions(POLICY, modules, "n1", "test")
    users = [
        {"user": "n1", "password": "pw", "permissions": rights},
        {"user": "all", "password": "pw"},
    ]
    return f"authorization: {json.dumps({'users': users})}\n"


def event(topic: str) -> Message:
    """An event of the source."""
    return Message(address=address.topic(topic), type="number", payload=b"1", source="source@n1", id="1")


async def test_a_node_stores_and_reads_what_its_policy_allows_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is no way around a policy."""
    monkeypatch.setattr(storing, "STORE_WITHIN_S", 0.5)
    monkeypatch.setattr(storing, "ATTEMPT_S", 0.2)
    with new_store(tmp_path / "store", authorization=authorization("source", "sink")) as store:
        bus = NatsBus("test", "n1")
        await bus.connect(store.url, Credentials(user="n1", password="pw", inbox_prefix="_INBOX.n1"))
        topics = DurableTopics(bus, ("numbers", "secrets"), JetStreamSettings())
        store_numbers, store_secrets = topics.publisher("numbers"), topics.publisher("secrets")
        assert store_numbers is not None
        assert store_secrets is not None
        await topics.ensure("numbers")
        await topics.ensure("secrets")
        await store_numbers(event("numbers"))
        reader = topics.reader("numbers", "sink", lambda _: None)
        await reader.open()
        one = await reader.next()
        await reader.settle(one, NEXT)
        await reader.aclose()
        with pytest.raises(GridlinkError):
            await store_secrets(event("secrets"))
        jetstream = JetStream(bus.raw())
        for verb in ("STREAM.PURGE.topic-numbers", "STREAM.DELETE.topic-numbers", "CONSUMER.INFO.topic-numbers.sink"):
            with pytest.raises(GridlinkError):
                await jetstream.call(verb, timeout_s=0.3)
        thief = topics.reader("numbers", "somebody_else", lambda _: None)
        with pytest.raises((GridlinkError, TimeoutError)):
            async with asyncio.timeout(1):
                await thief.open()
        await thief.aclose()
        await bus.aclose()
