"""The site's store is started when it is first asked for: by a bundle that is installed, or for a transfer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from appmanager.durable_store import DurableStore
from appmanager.link import GuardianLink
from gridlink.bus.nats import NatsBus
from gridlink.errors import Refused
from gridlink.node.leaf import StorePlace, free_port, write_place
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import done, gridlink, packed
from tests.gridlink.conftest import require_nats_server
from tests.integration.durable_site import SINK, SOURCE, DurableSite
from tests.integration.test_mqtt import client


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory where nothing is durable."""
    require_nats_server()
    bundle(tmp_path / "managed", "plain", good("plain"))
    return tmp_path / "managed"


async def install(managed: Path, name: str, code: str, mode: str) -> None:
    """Packs a bundle that declares the topic durable, and has it installed, as an operator does."""
    made = bundle(managed.parent / "made", name, code, mode=mode, durable=["numbers"])
    await done(managed, "pack", made, "-o", managed.parent / f"{name}.glb")
    await done(managed, "install", managed.parent / f"{name}.glb")


async def start_store(node: Running) -> dict[str, Any]:
    """Asks the AppManager for the store, as a transfer does."""
    found: dict[str, Any] = await node.sender.request(f"appmanager@{node.file['node']}", "startStore", timeout_s=15)
    return found


async def test_the_first_durable_bundle_finds_a_store_though_the_node_runs(managed: Path) -> None:
    """Provisioning from afar: nobody is there to start the node again. Nothing else is disturbed, later either."""
    async with running(managed) as node:
        await node.all_running("plain")
        before = dict(node.file["pids"])
        assert set(before) == {"guardian", "nats_server", "node"}
        await install(managed, "source", SOURCE, "process")
        await install(managed, "sink", SINK, "node")
        await node.all_running("plain", "source", "sink")
        site = DurableSite(node)
        await site.publish(0, 200, per_s=400)
        await site.until(lambda: site.runs_done == 1, 20)
        await site.all_seen(10)
        assert (site.failed, len(site.stored)) == ([], 200)
        after = dict(node.file["pids"])
        store = after.pop("jetstream_server")
        assert after == before
        os.kill(before["node"], signal.SIGKILL)  # its successor finds the store as it is
        await eventually(lambda: node.file["pids"]["node"] != before["node"], timeout_s=10)
        await node.all_running("plain", "source", "sink")
        await site.publish(200, 100, per_s=400)
        await site.until(lambda: site.runs_done == 2, 20)
        await site.all_seen(10)
        site.check()
        assert node.file["pids"]["jetstream_server"] == store


async def test_the_store_is_started_for_whoever_asks_and_once(managed: Path) -> None:
    """A transfer needs it where nothing is durable; two that ask at once get the same one."""
    async with running(managed) as node:
        await node.all_running("plain")
        found = await asyncio.gather(*(start_store(node) for _ in range(3)))
        assert found == [{"node": node.file["node"], "domain": "gridlink"}] * 3
        store = node.file["pids"]["jetstream_server"]
        bus = node.sender._bus
        assert isinstance(bus, NatsBus)

        async def answers() -> bool:
            reply = json.loads(await bus.raw().request("$JS.gridlink.API.INFO", b"", timeout_s=1))
            return "limits" in reply

        await eventually(answers, timeout_s=5)
        assert await start_store(node) == found[0]
        assert node.file["pids"]["jetstream_server"] == store
        with pytest.raises(Refused, match="send this to appmanager@"):
            await node.sender.request("appmanager", "startStore")


async def test_who_only_looks_into_a_store_that_has_nothing_does_not_start_it(managed: Path) -> None:
    """On a board it is 13 MiB until the node ends. What lies there is shown all the same."""
    file = await packed(managed.parent, "1.0.0")
    async with running(managed) as node:
        await node.all_running("plain")
        assert json.loads(await done(managed, "store", "--json")) == {"bundles": []}
        for words in (("install", "counter", "--dry-run"), ("store", "counter", "--remove")):
            status, _, error = await gridlink(managed, *words)
            assert status == 1
            assert "in a store of site site" in error
        assert "jetstream_server" not in node.file["pids"]
        assert (await start_store(node))["domain"] == "gridlink"
        assert json.loads(await done(managed, "store", "--json")) == {"bundles": []}
    async with running(managed) as node:  # it was started, and was given nothing
        await node.all_running("plain")
        assert json.loads(await done(managed, "store", "--json")) == {"bundles": []}
        assert "jetstream_server" not in node.file["pids"]
        await done(managed, "install", file, "--via", "store")
    async with running(managed) as node:
        await node.all_running("plain", "counter")
        (listed,) = json.loads(await done(managed, "store", "--json"))["bundles"]
        assert listed["name"] == "counter"
        assert "jetstream_server" in node.file["pids"]


async def test_a_site_file_that_asks_for_mqtt_meanwhile_is_heeded_when_the_store_is_asked_for(managed: Path) -> None:
    """It is started anew, with all that it holds; where nothing has changed, it isn't."""
    async with running(managed) as node:
        await node.all_running("plain")
        await install(managed, "source", SOURCE, "process")
        await install(managed, "sink", SINK, "process")
        await node.all_running("plain", "source", "sink")
        site = DurableSite(node)
        await site.publish(0, 100, per_s=400)
        await site.until(lambda: site.runs_done == 1, 20)
        first, port = node.file["pids"]["jetstream_server"], free_port()
        (managed / "site.json").write_text(json.dumps({"mqtt": {"port": port}}))
        await start_store(node)
        second = node.file["pids"]["jetstream_server"]
        assert second != first
        with client(port) as meter:
            await asyncio.to_thread(meter.publish, "gl/site/topic/numbers/number", '{"value":100}', 1)
        await site.publish(101, 100, per_s=400)
        await site.until(lambda: {one.value for one in site.seen} == set(range(201)), 20)
        await start_store(node)
        assert node.file["pids"]["jetstream_server"] == second
        (managed / "site.json").write_text(json.dumps({"mqtt": {"listen": "0.0.0.0"}}))
        with pytest.raises(Refused, match="a listener beyond loopback needs TLS and users"):
            await start_store(node)
        assert node.file["pids"]["jetstream_server"] == second


async def test_what_waits_for_the_store_is_on_loopback_and_wants_its_password(managed: Path) -> None:
    """Every node has that listener, since nats-server can't be given one later: it must be of no use to anybody."""
    async with running(managed) as node:
        await node.all_running("plain")
        place = json.loads((managed / ".gridlink" / "nats" / "store.json").read_text())
        for file in ("store.json", "nats-server.conf"):
            assert (managed / ".gridlink" / "nats" / file).stat().st_mode & 0o077 == 0
        assert _listening(place["port"]) == ["0100007F"]
        for password in ("", "wrong"):
            assert b"-ERR 'Authorization Violation'" in await asyncio.to_thread(_knock, place["port"], password)


def _listening(port: int) -> list[str]:
    """The addresses, as the kernel writes them, at which a port listens."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return [line[1].partition(":")[0] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"]


def _knock(port: int, password: str) -> bytes:
    """What the listener says to a leaf with that password."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as leaf:
        greeting = leaf.recv(4096)
        assert greeting.startswith(b"INFO")
        leaf.sendall(b"CONNECT " + json.dumps({"user": "jetstream", "pass": password, "name": "x"}).encode() + b"\r\n")
        answer = b""
        while received := leaf.recv(4096):
            answer += received
        return answer


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (None, "the bus of this node isn't its own"),
        (StorePlace("site", "board1", True, ""), r'name its node as \{"jetstream": \{"machine": "NODE"\}\}'),
    ],
)
async def test_a_site_that_has_no_store_says_what_to_do(tmp_path: Path, place: StorePlace | None, why: str) -> None:
    """A store in two places would be two stores, and a server that was given is not ours to add one to."""
    (tmp_path / ".gridlink" / "nats").mkdir(parents=True)
    write_place(tmp_path / ".gridlink", place)
    store = DurableStore(tmp_path, "", GuardianLink((-1, -1), lambda _: None, lambda _: None))
    with pytest.raises(Refused, match=why):
        await store.started()
    if place is not None:
        with pytest.raises(Refused, match="keeper, which declares durable topics, needs"):
            store.check("keeper")


async def test_another_machines_store_is_named(tmp_path: Path) -> None:
    """It runs there because the site file says so."""
    (tmp_path / ".gridlink" / "nats").mkdir(parents=True)
    write_place(tmp_path / ".gridlink", StorePlace("site", "board1", True, "board2"))
    assert (
        await DurableStore(tmp_path, "", GuardianLink((-1, -1), lambda _: None, lambda _: None)).started()
    ).node == "board2"
