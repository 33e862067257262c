"""The JetStream server of a site: there where something is durable, missed by nobody else, and never given up."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.appmanager.guardian.processes import alive, answers
from tests.gridlink.conftest import require_nats_server

KEEPER = (
    good("keeper").replace("import Module, request", "import Module, Topic, request")
    + '    publishes = (Topic("news", number=int),)\n'
)


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A bundle that asks for nothing."""
    require_nats_server()
    bundle(tmp_path / "managed", "plain", good("plain"))
    return tmp_path / "managed"


async def test_a_node_where_nothing_is_durable_starts_none_and_imports_nothing_of_it(managed: Path) -> None:
    """Each board would pay for it otherwise."""
    async with running(managed) as node:
        await node.all_running("plain")
        assert set(node.file["pids"]) == {"guardian", "nats_server", "node"}
        assert not (managed / ".gridlink" / "jetstream").exists()
        imports: list[str] = await node.sender.request(f"_node@{node.file['node']}", "imports")
        ours = ("gridlink.bus.durable", "gridlink.bus.raw", "gridlink.module.durable", "gridlink.node.durable")
        assert [name for name in imports if name.startswith(ours)] == []


async def test_a_killed_jetstream_server_is_started_again_and_ends_with_the_node(managed: Path) -> None:
    """Where it was, with what it holds."""
    bundle(managed, "keeper", KEEPER, durable=["news"])
    async with running(managed) as node:
        await node.all_running("plain", "keeper")
        first = node.file["pids"]["jetstream_server"]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: node.file["pids"]["jetstream_server"] != first, timeout_s=10)
        second = node.file["pids"]["jetstream_server"]
        await eventually((managed / f".gridlink/jetstream/nats-server_{second}.ports").exists, timeout_s=10)
        assert node.stop() == 0
        assert not alive(second)


@pytest.mark.slow
async def test_a_jetstream_server_that_ends_again_and_again_ends_nothing_else(managed: Path) -> None:
    """A full disk keeps what is durable from being stored, and the substation runs on."""
    bundle(managed, "keeper", KEEPER, durable=["news"])
    async with running(managed) as node:
        await node.all_running("plain", "keeper")
        until_s = time.monotonic() + 40
        while "it is started again in 30 s" not in node.output():
            assert time.monotonic() < until_s, node.output()
            killed = node.file["pids"]["jetstream_server"]
            if killed:
                os.kill(killed, signal.SIGKILL)
            await eventually(
                partial(lambda gone: (not alive(gone) and node.file["pids"]["jetstream_server"] != gone) or
                        "again in 30 s" in node.output(), killed),
                timeout_s=20,
            )  # fmt: skip
        assert await answers(node, "plain")
        assert node.process.poll() is None
