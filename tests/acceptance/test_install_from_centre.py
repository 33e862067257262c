"""A desk at a control centre, a board at a site, a thin uplink between them that is cut on the way."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gridlink.bus.server import find_program
from gridlink.cli.trust import make_uplink
from gridlink.node.leaf import free_port
from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.acceptance.test_provisioning import PROGRAM, counted, leftovers
from tests.acceptance.test_remote_install import BIG_BYTES, packed_big, received, site
from tests.gridlink.conftest import require_nats_server

PACE = {"transfer": {"bytes_per_s": 1_500_000}}


class Centre:
    """The control centre's server, which can be cut off at once."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Starts it."""
        with (self._hub / "hub.log").open("ab") as log:
            self._process = subprocess.Popen([find_program(), "-c", "hub.conf"], cwd=self._hub, stdout=log, stderr=log)

    def down(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)


@contextmanager
def centre(hub: Path) -> Iterator[Centre]:
    """It is up, until the `with` ends."""
    found = Centre(hub)
    found.up()
    try:
        yield found
    finally:
        found.down()


class Desk:
    """An operator at the centre, who knows its URL and has the key of one site."""

    def __init__(self, directory: Path, leaf_port: int) -> None:
        make_uplink(directory, f"tls://127.0.0.1:{leaf_port}", "west")
        self.hub, port = directory / "hub", free_port()
        file = self.hub / "hub.conf"
        file.write_text(file.read_text().replace('"0.0.0.0:4222"', f'"127.0.0.1:{port}"'))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("NATS_", "GRIDLINK_"))}
        keys = {"NATS_NKEY": str(self.hub / "operators" / "west.nk"), "NATS_CA": str(self.hub / "ca.pem")}
        self._environment = kept | keys
        self._command = [PROGRAM, "--nats", f"tls://127.0.0.1:{port}", "--site", "west"]

    async def types(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Runs a command; its exit status and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *map(str, arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def sees(self, name: str) -> bool:
        """Whether a module of the site is seen from here."""
        status, out, _ = await self.types("ls", "--json")
        return status == 0 and any(one["name"] == name for one in json.loads(out)["modules"])


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_an_install_over_an_uplink_that_is_cut_goes_on_when_it_is_back(tmp_path: Path) -> None:
    """The site has no store of its own; the file lies at the centre until the board has it."""
    require_nats_server()
    file = await packed_big(tmp_path)
    desk = Desk(tmp_path / "centre", free_port())
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    site(managed, PACE)
    options = ("--trust", str(tmp_path / "centre" / "site-west"), "--site", "west")
    async with running(managed, *options, site="west") as node:
        await node.all_running("lamp")
        with centre(desk.hub) as server:
            await eventually(partial(desk.sees, "appmanager"), timeout_s=30)
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(desk.types("install", file, "--via", "store", "--json", "--expires", "120"))
                await eventually(lambda: received(managed) >= 2_000_000, timeout_s=30)
                server.down()
                await eventually(lambda: "waits" in node.output(), timeout_s=30)
                server.up()
        status, out, err = asked.result()
        assert status == 0, out + err
        came = [step["done_bytes"] for step in map(json.loads, out.splitlines()) if step.get("step") == "receive"]
        assert came[-1] >= BIG_BYTES
        assert sorted(came) == came
        assert await counted(node) == ("1.0.0", 0)
        assert leftovers(managed) == []
