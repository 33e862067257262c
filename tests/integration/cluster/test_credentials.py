"""A server with the trust that `gridlink init` makes, against those who have none, or another site's. One machine."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from gridlink.bus.cluster import trusted_configuration
from gridlink.bus.mesh import Routes
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.bus.trust import Trust, read_trust, server_name
from gridlink.cli.trust import Network, make_cluster
from gridlink.config import Credentials
from gridlink.errors import ServerUnreachable
from gridlink.testing import eventually
from tests.acceptance.running import NODE, bundle, good, running
from tests.gridlink.conftest import require_nats_server


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def make(directory: Path, site: str) -> Path:
    """The trust of a site with one machine, `m1`, and its operator."""
    port, route_port = free_ports(2)
    make_cluster(directory, site, ["m1"], {"m1": ["127.0.0.1"]}, Network("0.0.0.0", port, route_port))
    return directory


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """The trust of machine m1 of site a."""
    return read_trust(make(tmp_path / "trust", "a") / "m1", "a")


@pytest.fixture
def server(tmp_path: Path, trust: Trust) -> Iterator[Server]:
    """Its server."""
    require_nats_server()
    directory = tmp_path / "nats"
    directory.mkdir()
    assert trust.cluster is not None
    Routes(directory, trust.cluster).write()
    (directory / "nats-server.conf").write_text(trusted_configuration(trust, 0, str(directory)))
    with Server(str(directory / "nats-server.conf")) as running:
        yield running


def operator(directory: Path, site: str) -> Credentials:
    """The operator's credentials."""
    own = directory / "operator"
    return Credentials(nkey=str(own / "node.nk"), ca=str(own / "ca.pem"), tls_name=server_name(site))


async def refused(url: str, credentials: Credentials) -> str:
    """Why a bus isn't let in."""
    bus = NatsBus("a", "stranger")
    with pytest.raises(ServerUnreachable) as caught:
        await bus.connect(url, credentials, within_s=1)
    return str(caught.value)


async def test_a_stranger_another_sites_user_and_a_key_alone_are_refused(
    server: Server, trust: Trust, tmp_path: Path
) -> None:
    """What listens beyond loopback lets nobody in who isn't of the site."""
    other = operator(make(tmp_path / "other", "b"), "b")
    mine = operator(trust.directory.parent, "a")
    bus = NatsBus("a", "n1")
    await bus.connect(server.url, mine)
    await bus.aclose()
    ca_alone = Credentials(ca=mine.ca, tls_name=mine.tls_name)
    assert "did not let us in" in await refused(server.url, ca_alone)
    foreign_user = Credentials(nkey=other.nkey, ca=mine.ca, tls_name=mine.tls_name)
    assert "did not let us in" in await refused(server.url, foreign_user)
    assert "certificate" in (await refused(server.url, other)).lower()
    assert await said_in_the_clear(server.url) == b""


async def said_in_the_clear(url: str) -> bytes:
    """What the server answers, after its greeting, to a client that speaks no TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    greeting = await reader.readline()
    assert b'"tls_required":true' in greeting
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.fixture
async def plain(server: Server, trust: Trust) -> AsyncIterator[tuple[Client, list[str]]]:
    """A plain client with a node's own user, and what the server says against it."""
    said: list[str] = []

    async def note(error: Exception) -> None:
        said.append(str(error))

    context = ssl.create_default_context(cafile=trust.path("ca.pem"))
    options: dict[str, Any] = {"tls": context, "tls_hostname": server_name("a"), "error_cb": note}
    client = await nats.connect(server.url, nkeys_seed=trust.path("node.nk"), **options)
    yield client, said
    await client.close()


async def test_a_nodes_user_has_the_subjects_of_its_site_and_no_others(plain: tuple[Client, list[str]]) -> None:
    """Neither another site's, nor everything, nor the server's own."""
    client, said = plain
    for subject in ("gl.b.role.oltc.raise", "$SYS.REQ.SERVER.PING", "other"):
        await client.publish(subject, b"")
    for subject in (">", "gl.>", "gl.b.>", "$SYS.>", "*.b.role.oltc.raise"):
        await client.subscribe(subject)
    await eventually(lambda: len([one for one in said if "permissions violation" in one]) == 8)
    said.clear()
    inbox = await client.subscribe("_INBOX.x")
    await client.subscribe("gl.a.>")
    await client.subscribe("$SRV.>")
    await client.publish("_INBOX.x", b"1")
    assert (await inbox.next_msg(timeout=2)).data == b"1"
    assert said == []


async def test_a_route_without_a_certificate_of_the_site_is_refused(
    server: Server, trust: Trust, tmp_path: Path
) -> None:
    """Another site's server, or nobody's, can't become one of the mesh."""
    assert trust.cluster is not None
    other = read_trust(make(tmp_path / "other", "a") / "m1", "a")  # the same name, another CA
    directory = tmp_path / "nats2"
    directory.mkdir()
    assert other.cluster is not None
    routes = Routes(directory, other.cluster)
    routes.add(f"127.0.0.1:{trust.cluster.route_port}")
    (directory / "nats-server.conf").write_text(trusted_configuration(other, 0, str(directory)))
    with Server(str(directory / "nats-server.conf")):
        log = directory / "nats-server.log"
        async with asyncio.timeout(10):
            while "certificate" not in log.read_text():
                await asyncio.sleep(0.05)
        assert "Remote: " not in log.read_text()


def node(managed: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What `gridlink-node` says when it is started."""
    command = [NODE, "--manage", str(managed), "--site", "a", "--no-view", "--for", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=40)


@pytest.mark.parametrize("missing", ["ca.pem", "server.pem", "server-key.pem", "node.nk", "beacon.key"])
def test_a_trust_directory_that_lacks_a_file_opens_nothing(tmp_path: Path, missing: str) -> None:
    """One line says which; no server is started, not even on loopback."""
    trust = make(tmp_path / "trust", "a") / "m1"
    (trust / missing).unlink()
    bundle(tmp_path / "managed", "echo", good("echo"))
    done = node(tmp_path / "managed", "--trust", str(trust))
    assert done.returncode == 1
    assert f"{missing} is missing" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "managed" / ".gridlink" / "nats" / "nats-server.log").exists()


def test_open_keys_another_site_and_no_users_are_refused_too(tmp_path: Path) -> None:
    """Each with its own line."""
    trust = make(tmp_path / "trust", "a") / "m1"
    managed = tmp_path / "managed"
    bundle(managed, "echo", good("echo"))
    for change, said in (
        (lambda copy: (copy / "node.nk").chmod(0o644), "chmod 600"),
        (lambda copy: replace(copy, '"site": "a"', '"site": "b"'), "use --site b"),
        (lambda copy: replace(copy, '"users": {', '"users": {}, "routes": [], "was": {'), "unknown setting 'was'"),
        (lambda copy: (copy / "cluster.json").unlink(), "expected cluster.json or uplink.json"),
    ):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(trust, copy)
        change(copy)
        done = node(managed, "--trust", str(copy))
        assert done.returncode == 1
        assert said in done.stderr


def replace(copy: Path, old: str, new: str) -> None:
    """Changes `cluster.json`."""
    file = copy / "cluster.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


async def test_without_any_trust_only_loopback_listens(tmp_path: Path) -> None:
    """A fresh board has no open port."""
    bundle(tmp_path / "managed", "echo", good("echo"))
    async with running(tmp_path / "managed") as node:
        await node.all_running("echo")
        pid = node.file["pids"]["nats_server"]
        sockets = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        listening = [
            line.split()[1]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in sockets
        ]
        assert listening
        assert all(address.startswith("0100007F:") for address in listening), listening
        loaded = await node.sender.request(f"_node@{node.file['node']}", "imports", reply=list[str])
        assert not {"gridlink.bus.mesh", "gridlink.bus.trust", "gridlink.bus.cluster", "ssl", "nkeys"} & set(loaded)
