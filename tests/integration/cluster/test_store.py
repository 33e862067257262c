"""A durable topic of a site of three machines: one keeps it, the others publish and read over the mesh."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import bundle
from tests.integration.cluster.machines import Machine, cluster
from tests.integration.durable_site import SINK, SOURCE

EVENTS, PER_S = 3000, 200
CODE = {"h2": ("source", SOURCE), "h3": ("sink", SINK)}


def prepare(machine: Machine) -> None:
    """h1 keeps the topic, the source is on h2, the sink on h3; the site file is the same on all."""
    (machine.managed / "site.json").write_text(json.dumps({"jetstream": {"machine": "h1"}}))
    if machine.name in CODE:
        name, code = CODE[machine.name]
        bundle(machine.managed, name, code, durable=["numbers"])


def noted(machine: Machine, module: str, file: str) -> list[str]:
    """The lines that a module has written."""
    path = machine.managed / ".gridlink" / "data" / module / file
    return path.read_text().split("\n")[:-1] if path.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("namespaces")
async def test_events_cross_the_mesh_to_the_store_and_back_though_servers_are_killed(tmp_path: Path) -> None:
    """The store is where site.json says, each machine has its own credentials, and no server is needed for good."""
    async with cluster(tmp_path, echo=(), prepare=prepare) as site:
        h1, h2, h3 = (site.machines[name] for name in ("h1", "h2", "h3"))
        assert "jetstream_server" in h1.file["pids"]
        assert not any("jetstream_server" in one.file["pids"] for one in (h2, h3))
        order = {"first": 0, "count": EVENTS, "per_s": PER_S}
        await site._senders["h2"].request("source", "publish", order)
        for number, (machine, server) in enumerate(
            ((h1, "jetstream_server"), (h1, "nats_server"), (h2, "nats_server"), (h3, "nats_server")), start=1
        ):
            await eventually(partial(_stored, h2, number * 500), timeout_s=60)
            machine.kill(server)
        began_s = time.monotonic()
        await eventually(lambda: "done" in noted(h2, "source", "stored"), timeout_s=90)
        stored = noted(h2, "source", "stored")
        assert stored == [*map(str, range(EVENTS)), "done"]
        await eventually(lambda: len({line.split()[0] for line in noted(h3, "sink", "seen")}) == EVENTS, timeout_s=60)
        values = [int(line.split()[0]) for line in noted(h3, "sink", "seen")]
        assert list(dict.fromkeys(values)) == list(range(EVENTS))
        print(f"{EVENTS} events, 0 lost, {len(values) - EVENTS} twice, done {time.monotonic() - began_s:.1f} s later")


def _stored(machine: Machine, more_than: int) -> bool:
    return len(noted(machine, "source", "stored")) > more_than


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("namespaces")
async def test_a_killed_server_beside_the_store_holds_publishers_elsewhere_up_for_two_seconds_at_most(
    tmp_path: Path,
) -> None:
    """The store is a leaf of that server alone: what it costs is the server's restart, and nothing that was stored."""
    async with cluster(tmp_path, echo=(), prepare=prepare) as site:
        h1, h2, h3 = (site.machines[name] for name in ("h1", "h2", "h3"))
        events = 2 * EVENTS
        order = {"first": 0, "count": events, "per_s": PER_S}
        await site._senders["h2"].request("source", "publish", order)
        gaps_s = []
        for number in range(1, 4):
            await eventually(partial(_stored, h2, number * 1500), timeout_s=60)
            h1.kill("nats_server")
            gaps_s.append(await _longest_gap_s(h2, within_s=5))
        print(f"nothing was stored for {', '.join(f'{gap:.2f}' for gap in gaps_s)} s")
        await eventually(lambda: "done" in noted(h2, "source", "stored"), timeout_s=90)
        assert noted(h2, "source", "stored") == [*map(str, range(events)), "done"]
        await eventually(lambda: len({line.split()[0] for line in noted(h3, "sink", "seen")}) == events, timeout_s=60)
        values = [int(line.split()[0]) for line in noted(h3, "sink", "seen")]
        assert list(dict.fromkeys(values)) == list(range(events))
        assert max(gaps_s) <= 2


async def _longest_gap_s(machine: Machine, within_s: float) -> float:
    """How long nothing was stored at a stretch, within so long from now."""
    file = machine.managed / ".gridlink" / "data" / "source" / "stored"
    began_s = last_s = time.monotonic()
    size, longest_s = file.stat().st_size, 0.0
    while (now_s := time.monotonic()) - began_s < within_s or now_s - last_s > 0.5:
        if file.stat().st_size != size:
            size, longest_s, last_s = file.stat().st_size, max(longest_s, now_s - last_s), now_s
        if now_s - last_s > 30:
            return now_s - last_s
        await asyncio.sleep(0.01)
    return longest_s
