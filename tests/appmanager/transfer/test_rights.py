"""Who may put and who may fetch, as real nats-servers keep it; and a store at the control centre, over an uplink."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from appmanager.store.disk import RealDisk
from appmanager.transfer.fetching import fetch
from appmanager.transfer.putting import discard, put
from appmanager.transfer.reference import reference_in
from gridlink.bus.cluster import trusted_configuration
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import CENTRE
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, find_program
from gridlink.bus.trust import operator_rights, read_trust
from gridlink.cli.trust import make_uplink
from gridlink.config import Credentials
from gridlink.errors import GridlinkError, RequestTimeout
from gridlink.node.leaf import free_port
from gridlink.proxies.policy import permissions
from gridlink.testing import eventually
from tests.appmanager.transfer.conftest import SITE, content
from tests.gridlink.conftest import require_nats_server
from tests.gridlink.store import answers, new_store

DISK = RealDisk()


async def connected(url: str, node: str, credentials: Credentials, site: str = SITE) -> NatsBus:
    """A bus with these credentials."""
    bus = NatsBus(site, node)
    await bus.connect(url, credentials)
    return bus


async def test_a_machine_of_a_policy_fetches_and_can_neither_put_nor_remove(tmp_path: Path, glb: Path) -> None:
    """What a board runs is its operators' to say."""
    users = [
        {"user": "n1", "password": "pw", "permissions": permissions((), ["appmanager"], "n1", SITE)},
        {"user": "operator", "password": "pw", "permissions": operator_rights(SITE)},
    ]
    authorization = f"authorization: {json.dumps({'users': users})}\n"
    with new_store(tmp_path / "store", authorization=authorization) as store:
        operator = await connected(store.url, "desk", Credentials(user="operator", password="pw"))
        machine = await connected(store.url, "n1", Credentials(user="n1", password="pw", inbox_prefix="_INBOX.n1"))
        await eventually(partial(answers, operator))
        desk, board = JetStream(operator.raw()), JetStream(machine.raw())
        reference = await put(desk, SITE, glb)
        await fetch(board, SITE, reference, DISK, tmp_path / "lamp.glb")
        assert content(tmp_path / "lamp.glb") == content(glb)
        with pytest.raises(RequestTimeout):
            await board.raw.request(reference.subject(SITE, 0), b"mine", timeout_s=0.3)
        with pytest.raises(GridlinkError):
            async with asyncio.timeout(0.5):
                await board.call(f"STREAM.PURGE.{reference.stream}", timeout_s=0.3)
        assert await discard(desk, SITE, reference) == reference.chunks
        await operator.aclose()
        await machine.aclose()


@contextmanager
def control_centre(directory: Path, client_port: int) -> Iterator[None]:
    """The nats-server that `gridlink init --uplink` has described, with its client port changed."""
    file = directory / "hub.conf"
    file.write_text(file.read_text().replace('"0.0.0.0:4222"', f'"127.0.0.1:{client_port}"'))
    with (directory / "hub.log").open("wb") as log:
        process = subprocess.Popen([find_program(), "-c", "hub.conf"], cwd=directory, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def site_server(directory: Path, trust_directory: Path, site: str) -> Server:
    """A site's own server, which dials the centre."""
    directory.mkdir()
    file = directory / "nats-server.conf"
    text = trusted_configuration(read_trust(trust_directory, site), free_port(), str(directory))
    file.write_text(text)
    return Server(str(file))


async def test_a_store_at_the_control_centre_serves_sites_over_their_uplinks_each_its_own(
    tmp_path: Path, glb: Path
) -> None:
    """The site has no JetStream of its own; another site's operator sees nothing of it."""
    require_nats_server()
    leaf_port, client_port = free_port(), free_port()
    for site in ("west", "east"):
        make_uplink(tmp_path / "centre", f"tls://127.0.0.1:{leaf_port}", site)
    hub, url = tmp_path / "centre" / "hub", f"tls://127.0.0.1:{client_port}"
    with (
        control_centre(hub, client_port),
        site_server(tmp_path / "west", tmp_path / "centre" / "site-west", "west") as server,
    ):
        operators = {
            site: await connected(
                url, "desk", Credentials(nkey=str(hub / "operators" / f"{site}.nk"), ca=str(hub / "ca.pem")), site
            )
            for site in ("west", "east")
        }
        board = await connected(server.url, "board", Credentials(), "west")
        west = JetStream(operators["west"].raw(), CENTRE)
        reference = await put(west, "west", glb, domain=CENTRE)
        assert reference_in(reference.spelled()) == reference
        async with asyncio.timeout(20):  # the uplink may not be there yet: it is waited for
            await fetch(JetStream(board.raw(), reference.domain), "west", reference, DISK, tmp_path / "lamp.glb")
        assert content(tmp_path / "lamp.glb") == content(glb)
        streams = await JetStream(operators["east"].raw(), CENTRE).call("STREAM.NAMES")
        assert not streams["streams"]
        assert re.fullmatch("transfer-west", reference.stream)
        for bus in (*operators.values(), board):
            await bus.aclose()
