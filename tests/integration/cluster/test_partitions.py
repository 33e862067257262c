"""Three machines, parted at random and put together again: their registries are equal again within 3 s."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
from math import inf
from pathlib import Path

import pytest

from tests.integration.cluster.machines import Cluster, cluster

HEALED_WITHIN_S = 3.0
FORGOTTEN_S = 4.2  # a silent node is remembered so long
STABLE_S = 1.3  # longer than a heartbeat: each has heard of each since
ROUNDS = 100
pytestmark = pytest.mark.usefixtures("namespaces")


async def parted(site: Cluster, apart: list[str], for_s: float) -> float:
    """Takes machines off the network, for a time or (inf) until they are forgotten, and puts them back.

    Returns how long after that it takes until events pass between all, and all agree and go on agreeing.
    """
    site.network.cut(*apart)
    if for_s == inf:
        await site.forgotten(apart)
    else:
        await asyncio.sleep(for_s)  # the fault itself: a link that is away for so long
    site.network.heal(*apart)
    took_s = await site.healed(STABLE_S)
    print(f"{' '.join(apart)} apart for {for_s:.2f} s, agreed after {took_s:.2f} s", flush=True)
    return took_s


async def test_registries_are_equal_again_within_3_s_of_healing(tmp_path: Path) -> None:
    """Each machine alone until it has forgotten the others; `make test-slow` has a hundred random rounds."""
    async with cluster(tmp_path) as site:
        assert await parted(site, ["h1", "h2", "h3"], for_s=inf) < HEALED_WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_a_hundred_partitions_heal_within_3_s_each(tmp_path: Path) -> None:
    """Seldom orders of events need many rounds. GRIDLINK_PARTITION_SEED repeats those of another run."""
    seed = int(os.environ.get("GRIDLINK_PARTITION_SEED") or random.SystemRandom().randrange(2**32))
    print(f"\nGRIDLINK_PARTITION_SEED={seed}")
    chance, took_s = random.Random(seed), []
    async with cluster(tmp_path) as site:
        for _ in range(ROUNDS):
            apart = chance.sample(list(site.machines), chance.choice((1, 1, 3)))
            for_s = inf if chance.random() < 0.25 else chance.uniform(0.1, FORGOTTEN_S)
            took_s.append(await parted(site, apart, for_s))
    print(f"{ROUNDS} rounds: median {statistics.median(took_s):.2f} s, longest {max(took_s):.2f} s")
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
