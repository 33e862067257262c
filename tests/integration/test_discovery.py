"""Programs that speak the NATS service protocol (ADR-32) find Gridlink's roles as services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from gridlink import Module, Refused, request
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.node import Node
from gridlink.testing import Site


@dataclass(frozen=True)
class Level:
    """A payload."""

    value_pu: float


class Guard(Module[None]):
    """Watches a level."""

    roles = ("guard", "second-role")

    @request("check")
    async def check(self, level: Level) -> bool:
        """Whether the level is all right."""
        if level.value_pu < 0:
            raise Refused("expected a level of 0 or more")
        return level.value_pu < 1.1


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A nats-server on a free port."""
    file = tmp_path / "nats-server.conf"
    file.write_text(configuration("t", -1, str(tmp_path)))
    with Server(str(file)) as running:
        yield running


@pytest.fixture
async def client(server: Server, tmp_path: Path) -> AsyncIterator[Client]:
    """A plain client beside two nodes that each run a Guard."""
    plain = await nats.connect(server.url)
    buses = [NatsBus("t", name) for name in ("one", "two")]
    for bus in buses:
        await bus.connect(server.url)
    async with Node(buses[0], "m") as one, Node(buses[1], "m") as two:
        for node in (one, two):
            await Site(node, tmp_path / node.node).host(Guard, name="guard")
        yield plain
    await plain.close()


async def ask(client: Client, subject: str, expected: int) -> list[dict[str, Any]]:
    """All replies to a request; waits for the expected number, then for one more that must not come."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, b"", reply=inbox)
    found = [json.loads((await subscription.next_msg(timeout=5)).data) for _ in range(expected)]
    with pytest.raises(nats.errors.TimeoutError):
        await subscription.next_msg(timeout=0.1)
    await subscription.unsubscribe()
    return found


async def test_ping_is_answered_once_by_each_role_of_each_instance(client: Client) -> None:
    """`nats service list` shows them: two roles on two nodes are four services with ids of their own."""
    found = await ask(client, "$SRV.PING", 4)
    assert {service["type"] for service in found} == {"io.nats.micro.v1.ping_response"}
    assert sorted(service["name"] for service in found) == ["guard", "guard", "second-role", "second-role"]
    assert len({service["id"] for service in found}) == 4
    assert {service["version"] for service in found} == {"1.0.0"}
    assert len(await ask(client, "$SRV.PING.guard", 2)) == 2
    one = found[0]
    assert await ask(client, f"$SRV.PING.{one['name']}.{one['id']}", 1) == [one]
    assert await ask(client, "$SRV.PING.nobody", 0) == []
    assert await ask(client, "$SRV.NONSENSE", 0) == []


async def test_info_names_the_endpoints_and_their_schemas_and_the_subject_answers(client: Client) -> None:
    """A micro client can call what INFO describes, and fetch the schema that its metadata names."""
    info = (await ask(client, "$SRV.INFO.guard", 2))[0]
    assert info["type"] == "io.nats.micro.v1.info_response"
    assert info["description"] == "Watches a level."
    (endpoint,) = info["endpoints"]
    assert (endpoint["name"], endpoint["queue_group"]) == ("check", "role.guard")
    assert json.loads((await client.request(endpoint["subject"], b'{"value_pu": 1.0}')).data) is True
    node = info["metadata"]["gridlink.instance"].partition("@")[2]
    digest = endpoint["metadata"]["schema.payload"]
    reply = await client.request(f"gl.t.instance.{node}._node.schema", json.dumps(digest).encode())
    assert json.loads(reply.data)["$defs"]["Level"]["required"] == ["value_pu"]


async def test_stats_count_requests_errors_and_processing_time(client: Client) -> None:
    """Good requests and refused ones are told apart, and the last error is named."""
    subject = (await ask(client, "$SRV.INFO.guard", 2))[0]["endpoints"][0]["subject"]
    bodies = [b'{"value_pu": 1.0}'] * 6 + [b'{"value_pu": -1.0}'] * 4
    await asyncio.gather(*(client.request(subject, body) for body in bodies))
    stats = await ask(client, "$SRV.STATS.guard", 2)
    endpoints = [service["endpoints"][0] for service in stats]
    assert sum(endpoint["num_requests"] for endpoint in endpoints) == 10
    assert sum(endpoint["num_errors"] for endpoint in endpoints) == 4
    assert any("expected a level of 0 or more" in endpoint["last_error"] for endpoint in endpoints)
    assert all(endpoint["processing_time"] >= endpoint["average_processing_time"] >= 0 for endpoint in endpoints)
    assert all(service["started"].endswith("Z") for service in stats)
