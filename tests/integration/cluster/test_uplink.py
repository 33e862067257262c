"""A control centre and three sites that dial it, over links of 400 ms each way that lose 2 % of all packets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gridlink.bus.server import find_program
from gridlink.testing import eventually
from tests.integration.cluster.hosts import Host, Network
from tests.integration.cluster.machines import COMMAND, Machine

HUB = "10.78.0.1"
SITES = ("a", "b", "c")
DELAY_S, LOSS = 0.4, 0.02
ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.usefixtures("namespaces"), pytest.mark.timeout(240)]


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
                [COMMAND, "init", str(trust), "--uplink", f"tls://{HUB}", "--site", site], capture_output=True, text=True
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
    """Asks the site's own role with a command on the site's own machine."""
    command = [COMMAND, "-C", str(machine.managed), "call", "echo", "do", f'"{time.monotonic_ns()}"']
    done = await asyncio.to_thread(
        subprocess.run, machine.host.command(*command), capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip() or done.stderr


async def test_each_site_is_seen_at_the_control_centre_and_lives_without_it(tmp_path: Path) -> None:
    """`--nats HUB --site a` sees site a alone; a cut link costs the site nothing, and is mended within seconds."""
    async with centre_of(tmp_path) as centre:
        for site in SITES:
            took_s = await centre.visible(site, within_s=30)
            print(f"\nsite {site} visible after another {took_s:.1f} s")
            assert centre.ls(site) == sorted(f"{name}@{site}" for name in ("appmanager", "echo", "eye", "nodemanager"))
        assert centre.ls("a", operator="b", as_site="a") == []
        centre.cut("a")
        cut_s = time.monotonic()
        while time.monotonic() - cut_s < 12:  # longer than either end takes to notice
            assert "done" in await ask_at_home(centre.sites["a"])
        assert centre.ls("b")
        assert centre.ls("a") == []
        centre.mend("a")
        took_s = await centre.visible("a", within_s=30)
        print(f"visible again {took_s:.1f} s after the link is back")
        assert took_s < 10
        log = centre.sites["b"].managed / ".gridlink" / "nats" / "nats-server.log"
        print(f"b's uplink, never cut, was lost {log.read_text().count('Stale Connection')} times")
