"""A control centre and three sites that dial it, over links of 400 ms each way that lose 2 % of all packets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from gridlink.bus.server import find_program
from gridlink.testing import eventually
from tests.integration.cluster.hosts import Host, Network
from tests.integration.cluster.machines import COMMAND, Cluster, Machine

HUB = "10.78.0.1"
SITES = ("a", "b", "c")
DELAY_S, LOSS = 0.4, 0.02
OUTAGE_S = float(os.environ.get("GRIDLINK_OUTAGE_S") or 12)  # longer than either end takes to notice; 600 for real ones
BACK_WITHIN_S = 10.0
ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.usefixtures("namespaces"), pytest.mark.timeout(240 + 2 * OUTAGE_S)]


class Centre:
    """The control centre, its sites, and the links between them."""

    def __init__(self, hub: Host, trust: Path, sites: dict[str, Machine]) -> None:
        self.hub, self.trust, self.sites = hub, trust, sites
        self.links: dict[str, subprocess.Popen[bytes]] = {}

    def ls(self, site: str, operator: str = "", as_site: str = "") -> list[str]:
        """What `gridlink --nats HUB --site SITE ls` shows at the control centre, as an operator of the site."""
        own = self.trust / "hub"
        environment = {
            **os.environ,
            "NATS_NKEY": str(own / "operators" / f"{operator or site}.nk"),
            "NATS_CA": str(own / "ca.pem"),
        }
        command = [COMMAND, "--nats", f"tls://{HUB}:4222", "--site", as_site or site, "ls", "--json"]
        done = subprocess.run(self.hub.command(*command), capture_output=True, text=True, env=environment, timeout=60)
        if done.returncode:
            raise AssertionError(f"{command}: {done.stderr}")
        document = json.loads(done.stdout)
        entries = document["modules"] if isinstance(document, dict) else document
        return sorted(entry["instance"] for entry in entries)

    def cut(self, site: str) -> None:
        """Cuts a site's link without a word."""
        self.links[site].send_signal(signal.SIGUSR1)

    def mend(self, site: str) -> None:
        """Puts it together again."""
        self.links[site].send_signal(signal.SIGUSR2)

    async def visible(self, site: str, within_s: float) -> float:
        """How long it takes until the site's modules are seen at the control centre."""
        began_s = time.monotonic()
        await eventually(lambda: f"echo@{site}" in self.ls(site), timeout_s=within_s)
        return time.monotonic() - began_s


def link(centre: Centre, site: str, number: int, directory: Path) -> None:
    """A slow link from a site's host to the hub's: a point to point interface on both."""
    host, name = centre.sites[site].host, f"wan{number}"
    log = directory / f"{name}.log"
    command = [sys.executable, "-m", "tests.integration.cluster.wan", host.namespace, centre.hub.namespace, name]
    with log.open("wb") as file:
        process = subprocess.Popen([*command, str(DELAY_S), str(LOSS)], stdout=file, stderr=file, cwd=ROOT)
    centre.links[site] = process
    deadline_s = time.monotonic() + 10
    while b"ready" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise AssertionError(f"no link: {log.read_text()}")
        time.sleep(0.02)
    for namespace, own, other in (
        (host.namespace, f"10.77.{number}.2", f"10.77.{number}.1"),
        (centre.hub.namespace, f"10.77.{number}.1", f"10.77.{number}.2"),
    ):
        for arguments in (
            ["address", "add", own, "peer", other, "dev", name],
            ["link", "set", name, "up"],
        ):
            subprocess.run(["ip", "-n", namespace, *arguments], check=True)
    subprocess.run(["ip", "-n", host.namespace, "route", "add", HUB, "dev", name], check=True)


@asynccontextmanager
async def centre_of(directory: Path) -> AsyncIterator[Centre]:
    """The hub and the sites, running."""
    with Network("hub", *SITES) as network:
        trust = directory / "trust"
        for site in SITES:
            made = subprocess.run(
                [COMMAND, "init", str(trust), "--uplink", f"tls://{HUB}", "--site", site],
                capture_output=True,
                text=True,
            )
            assert made.returncode == 0, made.stderr
        hub = network.hosts["hub"]
        subprocess.run(["ip", "-n", hub.namespace, "address", "add", HUB, "dev", "lo"], check=True)
        server = hub.popen(find_program(), "-c", "hub.conf", output=directory / "hub.log", cwd=trust / "hub")
        sites = {site: Machine(network.hosts[site], directory / site, site) for site in SITES}
        centre = Centre(hub, trust, sites)
        try:
            for number, site in enumerate(SITES, start=1):
                link(centre, site, number, directory)
                sites[site].make(None)
                shutil.copytree(trust / f"site-{site}", directory / site / ".gridlink" / "trust")
                sites[site].start()
            yield centre
        except BaseException:
            print((directory / "hub.log").read_text()[-3000:])
            for machine in sites.values():
                print(machine.output.read_text()[-2000:])
                log = machine.managed / ".gridlink" / "nats" / "nats-server.log"
                print(log.read_text()[-2000:] if log.exists() else "no log of nats-server")
            raise
        finally:
            for machine in sites.values():
                machine.stop()
            for process in (*centre.links.values(), server):
                process.terminate()
                process.wait()


async def ask_at_home(machine: Machine) -> str:
    """Asks the site's own role with a command on the site's own machine; returns the number that it was asked to do."""
    number = str(time.monotonic_ns())
    command = [COMMAND, "-C", str(machine.managed), "call", "echo", "do", f'"{number}"']
    done = await asyncio.to_thread(
        subprocess.run, machine.host.command(*command), capture_output=True, text=True, timeout=30
    )
    assert "done" in done.stdout, done.stderr
    return number


async def lives_on(machines: list[Machine], for_s: float) -> None:
    """Asks each site at home, again and again: every request is answered, and done once."""
    asked: list[tuple[Machine, str]] = []
    longest_s, began_s = 0.0, time.monotonic()
    while (now_s := time.monotonic()) - began_s < for_s:
        asked += [(machine, await ask_at_home(machine)) for machine in machines]
        longest_s = max(longest_s, time.monotonic() - now_s)
        await asyncio.sleep(for_s / 120)  # the pace: a long outage is no load test
    for machine in machines:
        done = [number for number, _ in machine.executed()]
        assert all(done.count(number) == 1 for one, number in asked if one is machine)
    print(f"{len(asked)} requests answered at home within {for_s:.0f} s of outage, {longest_s:.2f} s at most")


@pytest.mark.slow
async def test_each_site_is_seen_at_the_control_centre_and_lives_without_it(tmp_path: Path) -> None:
    """`--nats HUB --site a` sees site a alone; a cut link costs the site nothing, and is mended within seconds.

    GRIDLINK_OUTAGE_S=600 makes ten minutes of it.
    """
    async with centre_of(tmp_path) as centre:
        for site in SITES:
            took_s = await centre.visible(site, within_s=30)
            print(f"\nsite {site} visible after another {took_s:.1f} s")
            assert centre.ls(site) == sorted(f"{name}@{site}" for name in ("appmanager", "echo", "eye", "nodemanager"))
        with pytest.raises(AssertionError, match="may not listen"):
            centre.ls("a", operator="b", as_site="a")
        centre.cut("a")
        await lives_on([centre.sites["a"]], OUTAGE_S)
        assert centre.ls("b")
        assert centre.ls("a") == []
        centre.mend("a")
        took_s = await centre.visible("a", within_s=30)
        print(f"visible again {took_s:.1f} s after the link is back")
        assert took_s < BACK_WITHIN_S
        log = centre.sites["b"].managed / ".gridlink" / "nats" / "nats-server.log"
        print(f"b's uplink, not cut so far, was lost {log.read_text().count('Stale Connection')} times")


@pytest.mark.slow
async def test_all_sites_live_without_the_control_centre_and_come_back(tmp_path: Path) -> None:
    """The centre itself is away: every site goes on by itself, and every one is there again."""
    async with centre_of(tmp_path) as centre:
        for site in SITES:
            await centre.visible(site, within_s=30)
            centre.cut(site)
        await lives_on(list(centre.sites.values()), OUTAGE_S)
        for site in SITES:
            centre.mend(site)
        took_s = await asyncio.gather(*(centre.visible(site, within_s=45) for site in SITES))
        print(f"visible again {', '.join(f'{one:.1f} s' for one in took_s)} after the links are back")
        assert max(took_s) < 3 * BACK_WITHIN_S  # the commands that look take seconds each, one after the other


async def test_a_mesh_of_three_that_all_dial_the_centre_is_heard_once(tmp_path: Path) -> None:
    """Three ways to the centre are no single point of failure, and must not make three messages of one."""
    names = ("h1", "h2", "h3")
    trust = tmp_path / "uplink"
    with Network(*names, "hub") as network:
        hub, own = network.hosts["hub"], tmp_path / "trust"
        hosts = ",".join(f"{name}={network.hosts[name].address}" for name in names)
        for options in (
            [str(own), "--cluster", "a", "--machines", ",".join(names), "--hosts", hosts],
            [str(trust), "--uplink", f"tls://{hub.address}", "--site", "a"],
        ):
            subprocess.run([COMMAND, "init", *options], check=True, capture_output=True)
        server = hub.popen(find_program(), "-c", "hub.conf", output=tmp_path / "hub.log", cwd=trust / "hub")
        machines = {name: Machine(network.hosts[name], tmp_path / name, "a") for name in names}
        site = Cluster(network, own, machines)
        try:
            for name, machine in machines.items():
                shutil.copytree(trust / "site-a", own / name, dirs_exist_ok=True)
                machine.make(own / name)
                machine.start()
            await site.agree(names)
            centre = await _plain(hub, trust / "hub" / "ca.pem", trust / "hub" / "operators" / "a.nk", "localhost")
            operator = own / "operator"
            others = [
                await _plain(machine.host, operator / "ca.pem", operator / "node.nk", "a.gridlink.internal")
                for machine in machines.values()
            ]
            await _each_hears_each_once([centre, *others])
            for number in range(100):
                answer = await centre.request("gl.a.role.echo.do", f'"n{number}"'.encode(), timeout=2)
                assert answer.data == b'"done"'
            done = [number for machine in machines.values() for number, _ in machine.executed()]
            assert sorted(done) == sorted(f"n{number}" for number in range(100))
            for client in (centre, *others):
                await client.close()
        finally:
            await site.aclose()
            server.terminate()
            server.wait()


async def _plain(host: Host, ca: Path, seed: Path, name: str) -> Client:
    context = ssl.create_default_context(cafile=str(ca))
    return await nats.connect(f"tls://{host.way_in}:4222", tls=context, tls_hostname=name, nkeys_seed=str(seed))


async def _each_hears_each_once(clients: list[Client]) -> None:
    """Events of each reach all others, once; each has learnt of the others before."""
    heard: list[list[bytes]] = [[] for _ in clients]

    def listener(own: list[bytes]) -> Callable[[Msg], Awaitable[None]]:
        async def take(message: Msg) -> None:
            own.append(message.data)

        return take

    for client, own in zip(clients, heard, strict=True):
        await client.subscribe("gl.a.topic.test.event", cb=listener(own))
        await client.flush()
    for mark in range(len(clients)):
        await eventually(partial(_reached, clients[mark], heard, b"probe %d" % mark), timeout_s=15)
    for own in heard:
        own.clear()
    for mark, client in enumerate(clients):
        for number in range(100):
            await client.publish("gl.a.topic.test.event", b"%d %d" % (mark, number))
    expected = sorted(b"%d %d" % (mark, number) for mark in range(len(clients)) for number in range(100))
    await eventually(lambda: all(len(own) >= len(expected) for own in heard))
    for client in clients:  # what would come twice has come by then
        await client.request("gl.a.role.eye.seen", b"", timeout=2)
    for own in heard:
        assert sorted(item for item in own if not item.startswith(b"probe")) == expected


async def _reached(client: Client, heard: list[list[bytes]], mark: bytes) -> bool:
    await client.publish("gl.a.topic.test.event", mark)
    await client.flush()
    return all(mark in own for own in heard)
