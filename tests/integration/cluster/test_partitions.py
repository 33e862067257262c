"""Three machines, parted at random and put together again: their registries are equal again within 3 s."""

from __future__ import annotations

import asyncio
import random
import statistics
from pathlib import Path

import pytest

from tests.integration.cluster.machines import Cluster, cluster

HEALED_WITHIN_S = 3.0
STABLE_S = 4.5  # longer than a silent node is remembered
pytestmark = pytest.mark.usefixtures("namespaces")


async def parted(site: Cluster, apart: list[str], for_s: float) -> float:
    """Takes machines off the network for a while; how long after that it takes until all agree, and go on agreeing."""
    site.network.cut(*apart)
    await asyncio.sleep(for_s)
    site.network.heal(*apart)
    took_s = await site.agree(site.machines, stable_s=STABLE_S)
    print(f"{' '.join(apart)} apart for {for_s:.1f} s, agreed after {took_s:.2f} s")
    return took_s


async def test_registries_are_equal_again_within_3_s_of_healing(tmp_path: Path) -> None:
    """Each machine alone, for long enough to forget the others; `make test-slow` has a hundred random rounds."""
    async with cluster(tmp_path) as site:
        assert await parted(site, ["h1", "h2", "h3"], for_s=5.0) < HEALED_WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(2400)
async def test_a_hundred_partitions_heal_within_3_s_each(tmp_path: Path) -> None:
    """Seldom orders of events need many rounds."""
    async with cluster(tmp_path) as site:
        chance, names = random.Random(20261121), list(site.machines)
        took_s = [
            await parted(site, chance.sample(names, chance.choice((1, 1, 3))), chance.uniform(0.5, 8.0))
            for _ in range(100)
        ]
        print(f"median {statistics.median(took_s):.2f} s, longest {max(took_s):.2f} s")
        assert max(took_s) < HEALED_WITHIN_S


async def test_without_multicast_the_servers_find_each_other_by_the_given_list(tmp_path: Path) -> None:
    """Where a network carries no multicast."""
    async with cluster(tmp_path, "--no-multicast") as site:
        assert len(await site.seen("h1")) == 3 * 4
        for machine in site.machines.values():
            assert "gridlink.mesh" not in machine.output.read_text()


async def test_group_port_and_interface_of_the_beacons_can_be_chosen(tmp_path: Path) -> None:
    """Another group than the default's, on a named interface."""
    async with cluster(tmp_path, "--multicast", "239.255.9.9:7999", "--interface", "eth0", names=("h1", "h2")) as site:
        assert "239.255.9.9:7999" in site.machines["h1"].output.read_text()
