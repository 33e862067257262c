"""Three machines, parted at random and put together again: their registries are equal again within 3 s."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.integration.cluster.machines import Cluster, cluster

HEALED_WITHIN_S = 3.0
STABLE_S = 4.5  # longer than a silent node is remembered
pytestmark = pytest.mark.usefixtures("namespaces")


async def rounds(site: Cluster, count: int, seed: int) -> list[float]:
    """Parts one or all machines from the rest for a while, and heals; how long each agreement took."""
    chance, took_s = random.Random(seed), []
    names = list(site.machines)
    for number in range(count):
        apart = chance.sample(names, chance.choice((1, 1, 3)))
        site.network.cut(*apart)
        for_s = chance.uniform(0.5, 8.0)
        await asyncio.sleep(for_s)
        site.network.heal(*apart)
        took_s.append(await site.agree(names, stable_s=STABLE_S))
        print(f"round {number}: {apart} apart for {for_s:.1f} s, agreed after {took_s[-1]:.2f} s")
    return took_s


@pytest.mark.timeout(120)
async def test_registries_are_equal_again_within_3_s_of_healing(tmp_path: Path) -> None:
    """Three random rounds; `make test-slow` has a hundred."""
    async with cluster(tmp_path) as site:
        took_s = await rounds(site, 3, seed=7)
        assert max(took_s) < HEALED_WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(2400)
async def test_a_hundred_partitions_heal_within_3_s_each(tmp_path: Path) -> None:
    """Seldom orders of events need many rounds."""
    async with cluster(tmp_path) as site:
        took_s = await rounds(site, 100, seed=20261121)
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
