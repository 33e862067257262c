"""A site with a durable topic and MQTT under a control centre: what is published at either end is read at the site."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from gridlink.bus.server import find_program
from gridlink.cli.certificates import authority, issue
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.acceptance.running import bundle
from tests.integration.cluster.hosts import Host, Network
from tests.integration.cluster.machines import COMMAND, Machine
from tests.integration.durable_site import SINK
from tests.integration.test_mqtt import client

TOPIC, SUBJECT = "gl/a/topic/numbers/number", "gl.a.topic.numbers.number"
CUT_S, BACK_WITHIN_S = 10.0, 30.0
FAR = 1_000_000  # what the centre publishes begins here


class Site:
    """One machine, whose durable topic is read by a sink there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def seen(self) -> list[int]:
        """The numbers that the sink has handled, in order; a repeated one is there once."""
        file = self.machine.managed / ".gridlink" / "data" / "sink" / "seen"
        lines = file.read_text().split("\n")[:-1] if file.exists() else []
        return list(dict.fromkeys(int(line.split(" ")[0]) for line in lines))

    def seen_of(self, far: bool) -> list[int]:
        """Of these, what was published at the centre, or at the site."""
        return [number for number in self.seen if (number >= FAR) is far]


def prepare(machine: Machine, trust: Path, directory: Path) -> Path:
    """Writes bundles, trust and a site file that opens MQTT with TLS and a user; returns the CA of its certificate."""
    machine.make(None)
    bundle(machine.managed, "sink", SINK, durable=["numbers"])
    shutil.copytree(trust / "site-a", machine.managed / ".gridlink" / "trust")
    ca = authority(directory / "ca.pem", directory / "ca-key.pem", "test")
    issue(ca, [machine.host.way_in], machine.managed / "mqtt.pem", machine.managed / "mqtt-key.pem")
    (machine.managed / "meter.password").write_text("pw\n")
    (machine.managed / "meter.password").chmod(0o600)
    files = {"certificate": "mqtt.pem", "key": "mqtt-key.pem", "users": {"meter": "meter.password"}}
    (machine.managed / "site.json").write_text(json.dumps({"mqtt": {"listen": "0.0.0.0", **files}}))
    return directory / "ca.pem"


async def at_the_centre(hub: Host, own: Path) -> Client:
    """An operator's connection to the control centre, of a program that isn't Gridlink."""
    context = ssl.create_default_context(cafile=str(own / "ca.pem"))
    url = f"tls://{hub.way_in}:4222"
    return await nats.connect(url, tls=context, tls_hostname="localhost", nkeys_seed=str(own / "operators" / "a.nk"))


async def stored(centre: Client, number: int, within_s: float) -> str:
    """Publishes a number at the centre until the site's store has it; the domain of the store that says so."""
    by_s, headers = time.monotonic() + within_s, {"Nats-Msg-Id": f"centre/{number}"}
    while True:
        try:
            body = json.dumps({"value": FAR + number}).encode()
            answer = await centre.request(SUBJECT, body, timeout=1, headers=headers)
            return str(json.loads(answer.data)["domain"])
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
            if time.monotonic() > by_s:
                raise
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[Network, Site, Client, Path]]:
    """The centre and the site, the site's link up, and a connection at the centre."""
    with Network("hub", "a") as network:
        hub, trust = network.hosts["hub"], directory / "trust"
        made = [COMMAND, "init", str(trust), "--uplink", f"tls://{hub.address}", "--site", "a"]
        subprocess.run(made, check=True, capture_output=True)
        server = hub.popen(find_program(), "-c", "hub.conf", output=directory / "hub.log", cwd=trust / "hub")
        machine = Machine(network.hosts["a"], directory / "a", "a")
        try:
            ca = prepare(machine, trust, directory)
            machine.start()
            centre = await at_the_centre(hub, trust / "hub")
            await eventually(lambda: "jetstream_server listens" in machine.output.read_text(), timeout_s=30)
            yield network, Site(machine), centre, ca
            await centre.close()
        except BaseException:
            print(machine.output.read_text()[-3000:], (directory / "hub.log").read_text()[-2000:])
            raise
        finally:
            machine.stop()
            server.terminate()
            server.wait()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("namespaces")
async def test_meters_and_the_centre_publish_on_a_durable_topic_though_the_link_is_cut(tmp_path: Path) -> None:
    """The site's store takes both; a meter notices nothing of the cut, the centre waits for it, nothing is lost."""
    async with running(tmp_path) as (network, site, centre, ca):
        heard, tasks = list[int](), Tasks("test")

        async def hear(message: Msg) -> None:
            heard.append(json.loads(message.data)["value"])

        await centre.subscribe(SUBJECT, cb=hear)
        assert await stored(centre, 0, 30) == "gridlink"  # and not the centre's own
        with client(1883, "meter", "pw", ca, host=site.machine.host.way_in) as meter:

            def measured(*numbers: int) -> None:
                for number in numbers:
                    meter.publish(TOPIC, json.dumps({"value": number}), 1)

            await asyncio.to_thread(measured, *range(100))
            for number in range(1, 50):
                await stored(centre, number, 5)
            await eventually(lambda: [one for one in heard if one < FAR] == list(range(100)), timeout_s=10)
            network.cut("a")
            waits = tasks.spawn(stored(centre, 50, CUT_S + BACK_WITHIN_S), name="waits", awaited=True)
            began_s = time.monotonic()
            number = 100
            while time.monotonic() - began_s < CUT_S:
                await asyncio.to_thread(measured, number)
                number += 1
                await asyncio.sleep(0.01)  # the pace: a hundred a second are many for meters
            await eventually(lambda: site.seen_of(far=False) == list(range(number)), timeout_s=10)
            assert not waits.done()
            network.heal("a")
            healed_s = time.monotonic()
            assert await waits == "gridlink"
            took_s = time.monotonic() - healed_s
            for later in range(51, 100):
                await stored(centre, later, 5)
            await asyncio.to_thread(measured, *range(number, number + 50))
            await eventually(lambda: site.seen_of(far=True) == list(range(FAR, FAR + 100)), timeout_s=20)
            await eventually(lambda: site.seen_of(far=False) == list(range(number + 50)), timeout_s=20)
        print(f"{number + 50} by MQTT, {number - 100} of them in {CUT_S:g} s of outage; 100 at the centre, 0 lost; "
              f"the centre's first one after the cut stored {took_s:.1f} s after the link was back")  # fmt: skip
