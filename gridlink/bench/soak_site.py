"""A site for `gridlink bench soak`: one nats-server, and real `gridlink-node`s with the modules of the bench."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gridlink.bench import pages
from gridlink.bench.errors import BenchFailed
from gridlink.bench.pages import Footprint
from gridlink.bench.run import SITE, Site, compiled, node
from gridlink.bus.server import Server, configuration

ENTRY = "gridlink.bench.soak_modules"


@dataclass(frozen=True, slots=True)
class SoakNode:
    """A real node: its guardian, and the process that has the loop, the bus and the registry."""

    name: str
    running: Site

    @property
    def process(self) -> int:
        """The process id of the node itself."""
        return self.running.entries[0].pid

    def pids(self) -> list[int]:
        """All of its processes; no nats-server is among them."""
        return self.running.pids()

    def footprints(self) -> dict[int, Footprint]:
        """What each of its processes takes, as if only they ran: a board has one node."""
        return pages.measure(self.pids())

    def pss_bytes(self) -> float:
        """What the node takes: all of its processes."""
        return sum(found.pss for found in self.footprints().values())

    def cpu_s(self) -> float:
        """Processor time that its processes have had so far."""
        return sum(cpu_s(pid) for pid in self.pids())


@asynccontextmanager
async def soak_site(nodes: Mapping[str, Mapping[str, str]]) -> AsyncIterator[tuple[str, dict[str, SoakNode]]]:
    """Nodes by name, each with modules (name: class of soak_modules) that are RUNNING; and the server's URL."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        directory = Path(temporary)
        async with AsyncExitStack() as stack:
            server = stack.enter_context(bench_server(directory))
            found = {}
            for name, modules in nodes.items():
                managed = _managed(directory / name, modules)
                options = ("--nats", server.url, "--node", name, "--mode", "node")
                wanted = [f"{module}@{name}" for module in modules]
                running = await stack.enter_async_context(node(managed, options, wanted))
                found[name] = SoakNode(name, running)
            yield server.url, found


def cpu_s(pid: int) -> float:
    """By the scheduler's count of nanoseconds: that of `ps` has steps of 10 ms, twice what a node takes in a second."""
    try:
        threads = list((Path("/proc") / str(pid) / "task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except OSError as error:
        raise BenchFailed(f"process {pid}: its processor time can't be read: {error}: did it end?") from error


def bench_server(directory: Path) -> Server:
    """A nats-server of a bench, with its files in the directory; not started yet."""
    (directory / "nats").mkdir()
    file = directory / "nats" / "nats-server.conf"
    file.write_text(configuration(SITE, -1, str(file.parent)))
    return Server(str(file))


def _managed(managed: Path, modules: Mapping[str, str]) -> Path:
    for name, target in modules.items():
        (managed / name).mkdir(parents=True)
        manifest = {"name": name, "version": "1.0.0", "entry": f"{ENTRY}:{target}"}
        (managed / name / "module.json").write_text(json.dumps(manifest))
    compiled(managed)
    return managed
