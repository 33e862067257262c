"""A real `gridlink-node` for acceptance tests, looked at over the bus as the commands do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gridlink.clock import SiteClock
from gridlink.lifecycle import State
from gridlink.module.sender import Sender
from gridlink.node.process import open_bus
from gridlink.registry import Entry, Registry

NODE = str(Path(sys.executable).with_name("gridlink-node"))
LONG = ("--for", "900")  # for a test that has a node do much, one thing after the other
BUNDLES = Path(__file__).parents[2] / "modules"
SEVEN = (
    "appmanager",
    "dashboard_interface",
    "data_generator",
    "oltc_controller",
    "storage",
    "voltage_guard",
    "voltage_problem_handler",
)


class Running:
    """A node under test: its process, its managed directory, and a look at its site."""

    def __init__(self, managed: Path, process: subprocess.Popen[str], output: Path) -> None:
        self.managed, self.process, self._output = managed, process, output
        self.started_s = time.monotonic()
        self.registry: Registry
        self.sender: Sender

    @property
    def file(self) -> dict[str, Any]:
        """`.gridlink/node.json`."""
        found: dict[str, Any] = json.loads((self.managed / ".gridlink" / "node.json").read_text())
        return found

    def output(self) -> str:
        """What the node has printed so far."""
        return self._output.read_text()

    def state(self, name: str) -> tuple[str, str]:
        """State and reason of the module of that name; empty where there is none."""
        found = [entry for entry in self.registry.instances() if entry.name == name]
        return (found[0].state.value, found[0].reason) if found else ("", "")

    async def all_running(self, *names: str, within_s: float = 20.0) -> list[Entry]:
        """The entries of the modules, once all of them are RUNNING."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            running = [e for e in self.registry.instances() if e.state is State.RUNNING and e.name in names]
            if len(running) == len(names):
                return running
            await asyncio.sleep(0.01)
        states = {e.name: (e.state.value, e.reason) for e in self.registry.instances()}
        raise AssertionError(f"not all RUNNING within {within_s} s: {states}\n{self.output()}")

    def stop(self) -> int:
        """Ends the node as systemd would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def start(
    managed: Path, output: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts `gridlink-node` on a managed directory; its output goes to a file. `environment`: what it has beside."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NATS_", "GRIDLINK_"))}
    with output.open("w") as file:
        return subprocess.Popen(
            [NODE, "--manage", str(managed), "--no-view", "--for", "120", *options],
            stdout=file,
            stderr=file,
            text=True,
            env={**inherited, **(environment or {})},
        )


@asynccontextmanager
async def running(
    managed: Path, *options: str, site: str = "site", environment: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """A node with its bus reached, and ended at the end whatever happens. `site`: its site's name."""
    output = managed.parent / f"{managed.name}.out"
    node = Running(managed, start(managed, output, *options, environment=environment), output)
    try:
        file = managed / ".gridlink" / "node.json"
        while not file.exists():
            if node.process.poll() is not None or time.monotonic() - node.started_s > 20:
                raise AssertionError(f"the node did not come up: {node.output()}")
            await asyncio.sleep(0.01)
        bus = await open_bus(site, f"test-{os.getpid()}", node.file["url"])
        try:
            async with Registry(bus, "test", SiteClock(), observer=True) as registry:
                node.registry, node.sender = registry, Sender(bus, "test@test")
                yield node
        finally:
            await bus.aclose()
    finally:
        if node.process.poll() is None:
            node.stop()


def bundle(directory: Path, name: str, code: str, **manifest: Any) -> Path:
    """Writes a bundle with the code of its package; `manifest` replaces or (None) removes fields."""
    (directory / name / name).mkdir(parents=True)
    document = {"name": name, "version": "1.0.0", "entry": f"{name}:Probe", **manifest}
    text = json.dumps({key: value for key, value in document.items() if value is not None})
    (directory / name / "module.json").write_text(text)
    (directory / name / name / "__init__.py").write_text(code)
    return directory / name


GOOD = """
from gridlink import Module, request

class Probe(Module[None]):
    '''Answers ping.'''
    roles = ("ROLE",)

    @request("ping")
    async def ping(self) -> str:
        return "pong"
"""


def good(role: str) -> str:
    """The code of a module that answers `ping` on a role; more methods can be appended."""
    return GOOD.replace("ROLE", role)
