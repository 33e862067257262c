"""A real `gridlink-node` on a temporary managed directory with the use case's bundles; ended whatever happens."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import gridlink
from gridlink.bench.errors import BenchFailed
from gridlink.clock import SiteClock
from gridlink.module.sender import Sender
from gridlink.node.process import open_bus
from gridlink.node.shipped import shipped_bundles
from gridlink.registry import Entry, Registry

SITE = "bench"
UP_WITHIN_S = 30.0
RUNNING_WITHIN_S = 60.0
START = "import sys; from gridlink.cli.node import main; sys.argv[0] = 'gridlink-node'; main()"


@dataclass(frozen=True, slots=True)
class Site:
    """A site whose modules are RUNNING. `entries`: theirs; `guardian` and `nats_server` (0: not ours): process ids.

    `running_after_s`: from the start of `gridlink-node` until this process saw all of them RUNNING.
    """

    url: str
    guardian: int
    nats_server: int
    entries: tuple[Entry, ...]
    running_after_s: float

    def pids(self) -> list[int]:
        """Every process of the run, the guardian first."""
        found = psutil.Process(self.guardian).children(recursive=True)
        return [self.guardian, *(child.pid for child in found)]

    async def imports(self) -> list[str]:
        """What the node that hosts the AppManager has imported."""
        node = next(entry.node for entry in self.entries if entry.name == "appmanager")
        async with looking(self.url) as (_, sender):
            names: list[str] = await sender.request(f"_node@{node}", "imports")
        return names


@asynccontextmanager
async def site(options: Sequence[str], modules: Sequence[str]) -> AsyncIterator[Site]:
    """Starts `gridlink-node` with the options, and waits until the modules are RUNNING. Raises BenchFailed."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        managed = Path(temporary) / "managed"
        prepare(managed)
        async with node(managed, options, modules) as running:
            yield running


@asynccontextmanager
async def node(managed: Path, options: Sequence[str], modules: Sequence[str]) -> AsyncIterator[Site]:
    """As `site`, with the bundles that lie in the managed directory. `modules` may name instances, too: `name@node`."""
    output = managed.with_name(f"{managed.name}.output")
    began_s = time.monotonic()
    process = _start(managed, output, options)
    try:
        file = await _node_file(managed, process, output)
        entries = await _running(file["url"], modules, process, output)
        took_s = round(time.monotonic() - began_s, 2)
        yield Site(file["url"], process.pid, file["pids"].get("nats_server", 0), entries, took_s)
    finally:
        await asyncio.to_thread(_end, process)


def prepare(managed: Path) -> None:
    """A managed directory with the delivered bundles, compiled as on a board; the dashboard takes any free port."""
    shutil.copytree(shipped_bundles(), managed, ignore=shutil.ignore_patterns("__pycache__"))
    dashboard = managed / "dashboard_interface" / "config.json"
    document = json.loads(dashboard.read_text())
    dashboard.write_text(json.dumps({**document, "port": 0}))
    compiled(managed)


def compiled(managed: Path) -> None:
    """Has bytecode written for Gridlink and the bundles, as pip and a first start do.

    A process that compiles its sources is 1 MiB larger for it. Where nothing may be written, it is left so.
    """
    packages = Path(gridlink.__file__).resolve().parents[1]
    places = [str(packages / name) for name in ("gridlink", "appmanager", "nodemanager")]
    command = [sys.executable, "-m", "compileall", "-qq", *places, str(managed)]
    subprocess.run(command, env=environment(), check=False)


def environment() -> dict[str, str]:
    """Our environment, without what would change the run."""
    ignored = ("NATS_", "GRIDLINK_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ignored)}


def bundle_packages() -> set[str]:
    """The names of the delivered bundles' packages."""
    return {path.parent.name for path in shipped_bundles().glob("*/*/__init__.py")}


def _start(managed: Path, output: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    arguments = ["--manage", str(managed), "--no-view", "--site", SITE, *options]
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-c", START, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment(),
        )


async def _node_file(managed: Path, process: subprocess.Popen[bytes], output: Path) -> Any:
    file = managed / ".gridlink" / "node.json"
    deadline_s = time.monotonic() + UP_WITHIN_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise BenchFailed(f"gridlink-node did not come up; it said: {_said(output)}")
        await asyncio.sleep(0.05)
    return json.loads(file.read_text())


async def _running(
    url: str, modules: Sequence[str], process: subprocess.Popen[bytes], output: Path
) -> tuple[Entry, ...]:
    async with looking(url) as (registry, _):
        deadline_s = time.monotonic() + RUNNING_WITHIN_S
        while True:
            named = {name: entry for entry in registry.find() for name in (entry.name, entry.instance)}
            if named.keys() >= set(modules):
                return tuple(named[name] for name in modules)
            if process.poll() is not None or time.monotonic() > deadline_s:
                states = ", ".join(f"{entry.name} {entry.state}" for entry in registry.instances()) or "none"
                raise BenchFailed(f"expected all RUNNING, came {states}; the node said: {_said(output)}")
            await asyncio.sleep(0.01)


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[tuple[Registry, Sender]]:
    """A command's look at the bench's site: its registry, unseen, and a sender."""
    name = f"bench-{os.getpid()}"
    bus = await open_bus(SITE, name, url)
    try:
        async with Registry(bus, "bench", SiteClock(), observer=True) as registry:
            yield registry, Sender(bus, f"bench@{name}")
    finally:
        await bus.aclose()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _said(output: Path) -> str:
    return " | ".join(output.read_text(errors="replace").strip().splitlines()[-3:]) or "nothing"
