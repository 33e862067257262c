"""Several sites that one connection reaches: nodes of their own, on one nats-server."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gridlink.bus.server import find_program
from gridlink.node.leaf import free_port
from gridlink.testing import eventually
from tests.acceptance.running import start
from tests.conftest import clean_environment, command


class Sites:
    """Their managed directories, and commands as they are typed at the control centre."""

    def __init__(self, directory: Path, url: str, names: Sequence[str]) -> None:
        self.directory, self.url, self.names = directory, url, tuple(names)
        self.nodes: dict[str, subprocess.Popen[str]] = {}

    def managed(self, site: str) -> Path:
        """The managed directory of a site's node."""
        return self.directory / site

    async def gridlink(self, *arguments: str | Path, within_s: float = 50.0) -> tuple[int, str, str]:
        """Runs a command; its exit status and what it printed."""
        done = await asyncio.to_thread(
            subprocess.run,
            command("--nats", self.url, *arguments),
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=within_s,
        )
        return done.returncode, done.stdout, done.stderr

    async def states(self, site: str) -> dict[str, tuple[str, str, str]]:
        """State, version and mode of each module of a site."""
        status, out, err = await self.gridlink("--site", site, "ls", "--json")
        assert status == 0, err
        modules: list[dict[str, Any]] = json.loads(out)["modules"]
        return {one["name"]: (one["state"], one["version"], one["mode"]) for one in modules}

    async def settled(self, *modules: str) -> None:
        """Returns when the modules are RUNNING at every site."""
        for site in self.names:
            await eventually(partial(self._runs, site, modules), timeout_s=40)

    async def _runs(self, site: str, modules: Sequence[str]) -> bool:
        states = await self.states(site)
        return all(states.get(name, ("",))[0] == "RUNNING" for name in modules)

    def versions(self, module: str) -> dict[str, str]:
        """The version of a module on each site's disk."""
        files = {site: self.managed(site) / module / "module.json" for site in self.names}
        return {site: json.loads(file.read_text())["version"] for site, file in files.items() if file.exists()}


def _server(port: int, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as log:
        return subprocess.Popen([find_program(), "-a", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)


@asynccontextmanager
async def sites(directory: Path, *names: str) -> AsyncIterator[Sites]:
    """Nodes on the managed directories `directory/NAME`, which are there, each a site of that name."""
    port = free_port()
    found = Sites(directory, f"nats://127.0.0.1:{port}", names)
    server = _server(port, directory / "nats.log")
    try:
        for name in names:
            options = ("--nats", found.url, "--site", name)
            found.nodes[name] = start(found.managed(name), directory / f"{name}.out", *options)
        yield found
    finally:
        for process in found.nodes.values():
            process.terminate()
        for process in found.nodes.values():
            process.wait(timeout=30)
        server.terminate()
        server.wait()
