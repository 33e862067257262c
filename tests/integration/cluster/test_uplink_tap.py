"""A control centre's operator taps a site through its leaf connection: on one machine, with TLS and nkeys."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridlink.bus.cluster import trusted_configuration
from gridlink.bus.mirror import Wish
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, find_program
from gridlink.bus.trust import read_trust
from gridlink.cli.listening import Passed, listening
from gridlink.cli.trust import make_uplink
from gridlink.config import Credentials
from gridlink.node import Node
from gridlink.testing import Site, eventually
from tests.gridlink.conftest import require_nats_server
from tests.integration.cluster.test_credentials import free_ports
from tests.integration.proxied import Meter, Storage


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A control centre's trust directory, and the URL of its running server."""
    require_nats_server()
    leaf_port, client_port = free_ports(2)
    make_uplink(tmp_path / "trust", f"tls://localhost:{leaf_port}", "t")
    hub = tmp_path / "trust" / "hub"
    configuration = (hub / "hub.conf").read_text()
    assert "0.0.0.0:4222" in configuration
    (hub / "hub.conf").write_text(configuration.replace("0.0.0.0:4222", f"127.0.0.1:{client_port}"))
    with (hub / "log").open("w") as log:
        server = subprocess.Popen([find_program(), "-c", "hub.conf"], cwd=hub, stdout=log, stderr=log)
    yield tmp_path / "trust", f"tls://localhost:{client_port}"
    server.terminate()
    server.wait(timeout=10)


async def test_a_sites_operator_at_the_centre_sees_what_passes_inside_its_nodes(
    centre: tuple[Path, str], tmp_path: Path
) -> None:
    """Wishes go down the leaf connection, and what nodes have seen comes up."""
    trust, url = centre
    directory = tmp_path / "nats"
    directory.mkdir()
    own = read_trust(trust / "site-t", "t")
    (directory / "nats-server.conf").write_text(trusted_configuration(own, -1, str(directory)))
    operator = Credentials(nkey=str(trust / "hub" / "operators" / "t.nk"), ca=str(trust / "hub" / "ca.pem"))
    with Server(str(directory / "nats-server.conf")) as server:
        bus, tap = NatsBus("t", "n1"), NatsBus("t", "tap")
        await bus.connect(server.url)
        async with Node(bus, "m") as node:
            site = Site(node, tmp_path)
            await site.host(Meter, name="meter")
            await site.host(Storage, name="storage")
            await tap.connect(url, operator, within_s=20)
            heard: list[Passed] = []
            async with listening(tap, Wish(roles=("storage",)), heard.append, lambda _: None):
                await eventually(lambda: bus.local.mirror, timeout_s=20)  # said again until the leaf is there
                await site.request("meter", "ask", {"text": "x"})
                await eventually(lambda: [one.seen.kind for one in heard] == ["request", "reply"], timeout_s=20)
            await eventually(lambda: bus.local.mirror is None, timeout_s=20)
            await tap.aclose()
