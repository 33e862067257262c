"""Beacons: what was sealed with the site's key opens, and nothing else does; addresses are added and remembered."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.bus.beacon import MAX_BYTES, Beacon, opened, sealed
from gridlink.bus.mesh import MAX_ROUTES, Mesh, Routes
from gridlink.bus.trust import ClusterFile, Discovery, Trust
from gridlink.errors import TrustInvalid
from gridlink.testing import eventually

KEY = b"k" * 32
BEACON = Beacon("a", "m2", "10.0.0.2:6222")
USER = "U" + "A" * 55


def test_what_was_sealed_opens() -> None:
    """With the same key."""
    assert opened(sealed(BEACON, KEY), KEY) == BEACON


@given(st.integers(0, 8 * len(sealed(BEACON, KEY)) - 1))
def test_one_changed_bit_closes_it(bit: int) -> None:
    """Wherever it is."""
    datagram = bytearray(sealed(BEACON, KEY))
    datagram[bit // 8] ^= 1 << bit % 8
    assert opened(bytes(datagram), KEY) is None


@given(st.binary(max_size=2 * MAX_BYTES))
def test_noise_is_no_beacon(noise: bytes) -> None:
    """And raises nothing."""
    assert opened(noise, KEY) is None
    assert opened(b"GL1 " + noise, KEY) is None


def test_a_strangers_key_opens_nothing() -> None:
    """Who has no key of the site adds no route."""
    assert opened(sealed(BEACON, b"x" * 32), KEY) is None


@pytest.mark.parametrize("route", ["", "host", "host:", ":6222", "host:x", 'h"]\nlisten: "0.0.0.0:1', "a b:1"])
def test_what_is_no_address_is_not_taken(route: str) -> None:
    """Also from a machine that has the key: it is written into a configuration."""
    assert opened(sealed(Beacon("a", "m2", route), KEY), KEY) is None


def cluster_file(**changes: object) -> ClusterFile:
    """Machine m1's."""
    fields = {"site": "a", "machine": "m1", "host": "10.0.0.1", "users": {"m1": USER, "m2": USER}, **changes}
    return ClusterFile(**fields)  # type: ignore[arg-type]


def test_addresses_are_added_remembered_and_bounded(tmp_path: Path) -> None:
    """Over a restart; the given ones are never forgotten."""
    cluster = cluster_file(routes=("10.0.0.1:6222", "10.0.0.9:6222"))
    routes = Routes(tmp_path, cluster)
    assert routes.all == ["10.0.0.9:6222"]
    assert routes.add("10.0.0.2:6222")
    assert not routes.add("10.0.0.2:6222")
    assert not routes.add("10.0.0.1:6222")
    assert Routes(tmp_path, cluster).all == ["10.0.0.9:6222", "10.0.0.2:6222"]
    for number in range(200):
        routes.add(f"10.1.0.{number}:6222")
    assert len(Routes(tmp_path, cluster).all) == MAX_ROUTES
    assert routes.all[0] == "10.0.0.9:6222"
    for damaged in (b"routes: [not JSON", b"\xff\xfe"):
        routes.file.write_bytes(damaged)
        assert Routes(tmp_path, cluster).all == ["10.0.0.9:6222"]
    routes.file.unlink()
    routes.file.mkdir()
    assert Routes(tmp_path, cluster).all == ["10.0.0.9:6222"]


def test_an_address_is_spelled_anew_to_have_it_dialled_and_stays_the_same_address(tmp_path: Path) -> None:
    """A server that reads its routes again dials what is new there, and cuts what is no more: none other may change."""
    cluster = cluster_file(routes=("10.0.0.9:6222",))
    routes = Routes(tmp_path, cluster)
    routes.add("10.0.0.2:6222")
    before = routes.file.read_text()
    routes.spell_anew("10.0.0.2:6222")
    assert routes.file.read_text() == before.replace("10.0.0.2:6222", "10.0.0.2:6222/1")
    again = Routes(tmp_path, cluster)  # the node is replaced, its server runs on
    assert again.all == ["10.0.0.9:6222", "10.0.0.2:6222"]
    assert not again.add("10.0.0.2:6222")
    again.add("10.0.0.3:6222")
    assert "10.0.0.2:6222/1" in again.file.read_text()
    spelled = set[str]()
    for _ in range(20):
        again.spell_anew("10.0.0.2:6222")
        assert again.file.read_text() not in spelled or len(spelled) == 9
        spelled.add(again.file.read_text())


def trust(directory: Path, cluster: ClusterFile) -> Trust:
    """A trust directory with the beacon's key alone."""
    directory.mkdir()
    (directory / "beacon.key").write_bytes(KEY)
    return Trust(directory, cluster, None)


async def test_two_servers_find_each_other_and_a_stranger_is_not_heard(tmp_path: Path) -> None:
    """Over real multicast, on loopback; the second machine answers the first at once."""
    discovery = Discovery(port=random.randint(20000, 60000), interface="lo")
    reloads: list[str] = []
    meshes = [
        Mesh(
            trust(tmp_path / name, cluster_file(machine=name, host=host, discovery=discovery)),
            tmp_path / name,
            lambda name=name: reloads.append(name),  # type: ignore[misc]
        )
        for name, host in (("m1", "10.0.0.1"), ("m2", "10.0.0.2"))
    ]
    async with meshes[0], meshes[1]:
        await eventually(lambda: set(reloads) == {"m1", "m2"})
        assert "10.0.0.2:6222" in (tmp_path / "m1" / "routes.conf").read_text()
        for stranger in (
            sealed(Beacon("a", "m2", "10.6.6.6:1"), b"x" * 32),
            sealed(Beacon("b", "m2", "10.6.6.6:1"), KEY),
            sealed(Beacon("a", "m3", "10.6.6.6:1"), KEY),
        ):
            meshes[0].datagram_received(stranger, ("10.6.6.6", 1))
        await asyncio.sleep(0)
        assert "10.6.6.6" not in (tmp_path / "m1" / "routes.conf").read_text()
    assert sorted(reloads) == ["m1", "m2"]


async def test_a_known_server_that_has_no_route_is_dialled_when_it_is_heard_by_one_of_the_two(tmp_path: Path) -> None:
    """After a partition; two servers that dial each other at once may both hang up, so that the first by name does."""
    discovery = Discovery(port=random.randint(20000, 60000), interface="lo")
    reloads: list[str] = []
    links: dict[str, frozenset[str] | None] = {"a-m1": None, "a-m2": None}
    meshes = [
        Mesh(
            trust(tmp_path / name, cluster_file(machine=name, host=host, discovery=discovery)),
            tmp_path / name,
            lambda name=name: reloads.append(name),  # type: ignore[misc]
            links.__getitem__,
        )
        for name, host in (("m1", "10.0.0.1"), ("m2", "10.0.0.2"))
    ]
    async with meshes[0], meshes[1]:
        await eventually(lambda: set(reloads) == {"m1", "m2"})
        links.update({"a-m1": frozenset(("10.0.0.1",)), "a-m2": frozenset(("10.0.0.2",))})
        await eventually(lambda: "10.0.0.2:6222/1" in (tmp_path / "m1" / "routes.conf").read_text())
        links.update({"a-m1": frozenset(("10.0.0.2",)), "a-m2": frozenset(("10.0.0.1",))})
    assert sorted(reloads)[:3] == ["m1", "m1", "m2"]
    assert "/1" not in (tmp_path / "m2" / "routes.conf").read_text().replace("//1", "")


async def test_a_network_that_is_not_there_yet_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A board boots before its network is up: that is said once."""
    cluster = cluster_file(discovery=Discovery(interface="nosuch0"))
    async with Mesh(trust(tmp_path / "t", cluster), tmp_path, lambda: None):
        await eventually(lambda: "trying again" in caplog.text)
    assert caplog.text.count("trying again") == 1


def test_a_mesh_needs_discovery(tmp_path: Path) -> None:
    """Where there is a given list, nothing is to run."""
    with pytest.raises(TrustInvalid):
        Mesh(trust(tmp_path / "t", cluster_file(discovery=None)), tmp_path, lambda: None)
