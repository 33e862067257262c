"""MQTT clients beside a real node: what they may, what is refused and counted, and what is stored of it."""

from __future__ import annotations

import json
import queue
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gridlink.bus.nats import NatsBus
from gridlink.cli.certificates import authority, issue
from gridlink.node.leaf import free_port
from gridlink.testing import eventually
from tests.acceptance.running import BUNDLES, NODE, Running, bundle, running
from tests.gridlink.conftest import require_nats_server

VOLTAGE, PROBLEMS = "gl/site/topic/measurement/voltage", "gl/site/topic/voltage_problem/#"


def over_voltage(meter: str) -> str:
    """A measurement that the guard reports, once: it is over the operating limit alone."""
    return json.dumps({"meter": meter, "value_pu": 1.07, "timestamp_s": 1.0})


class MqttClient:
    """A paho client whose network is a thread of its own."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self.received: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._granted: queue.Queue[bool] = queue.Queue()
        client.on_message = lambda _c, _u, one: self.received.put((one.topic, json.loads(one.payload)))
        client.on_subscribe = lambda _c, _u, _m, codes, _p: self._granted.put(not codes[0].is_failure)

    def subscribe(self, topic: str, qos: int) -> bool:
        """Whether the server grants it."""
        self._client.subscribe(topic, qos)
        return self._granted.get(timeout=10)

    def publish(self, topic: str, payload: str | bytes, qos: int) -> None:
        """Returns when the server has it (QoS 1)."""
        self._client.publish(topic, payload, qos).wait_for_publish(10)


@contextmanager
def client(port: int, user: str = "", password: str = "", ca: Path | None = None) -> Iterator[MqttClient]:
    """A client that is connected. Raises ConnectionRefusedError where the server doesn't let it in."""
    connected: queue.Queue[bool] = queue.Queue()
    made = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    made.on_connect = lambda _c, _u, _f, code, _p: connected.put(not code.is_failure)
    if user:
        made.username_pw_set(user, password)
    if ca is not None:
        made.tls_set(str(ca), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    found = MqttClient(made)
    made.connect("127.0.0.1", port)
    made.loop_start()
    try:
        if not connected.get(timeout=10):
            raise ConnectionRefusedError(port)
        yield found
    finally:
        made.disconnect()
        made.loop_stop()


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with the voltage guard."""
    require_nats_server()
    shutil.copytree(BUNDLES / "voltage_guard", tmp_path / "managed" / "voltage_guard")
    return tmp_path / "managed"


def open_mqtt(managed: Path, **settings: Any) -> int:
    """Writes a site file that opens MQTT; returns the port."""
    port = free_port()
    (managed / "site.json").write_text(json.dumps({"mqtt": {"port": port, **settings}}))
    return port


async def listening(node: Running) -> None:
    """Returns when the JetStream server has opened its listeners."""
    await node.all_running("voltage_guard")
    await eventually(lambda: "jetstream_server listens" in node.output(), timeout_s=10)


async def counters(node: Running) -> dict[str, Any]:
    """What is counted of the guard."""
    name = node.file["node"]
    found: dict[str, Any] = await node.sender.request(f"_node@{name}", "counters")
    return dict(found[f"voltage_guard@{name}"])


async def test_an_mqtt_client_measures_and_hears_and_what_does_not_fit_is_counted(managed: Path) -> None:
    """With both qualities of service; roles are out of its reach."""
    port = open_mqtt(managed)
    async with running(managed) as node:
        await listening(node)
        with client(port) as meter:
            for qos in (0, 1):
                assert meter.subscribe(PROBLEMS, qos)
                meter.publish(VOLTAGE, over_voltage(f"m{qos}"), qos)
                topic, problem = meter.received.get(timeout=10)
                assert (topic, problem["meter"]) == ("gl/site/topic/voltage_problem/overVoltage", f"m{qos}")
            before = await counters(node)
            for body in (b"no JSON", b'{"meter":5}', b""):
                meter.publish(VOLTAGE, body, 1)
            assert not meter.subscribe("gl/site/role/voltage_guard/#", 0)
            assert not meter.subscribe("#", 0)
            meter.publish("gl/site/role/voltage_guard/status", b"", 0)
            meter.publish(VOLTAGE, over_voltage("last"), 1)

            async def heard() -> bool:
                return bool((await node.sender.request("voltage_guard", "status"))["meters"] == 3)

            await eventually(heard, timeout_s=10)
            after = await counters(node)
        assert after["errors"] - before["errors"] == 3
        assert "expected JSON, got 'no JSON'" in node.output()  # one line a second at most
        said = (managed / ".gridlink" / "jetstream" / "nats-server.log").read_text()
        assert 'Publish Violation - Subject "gl.site.role.voltage_guard.status"' in said


async def test_a_durable_topic_keeps_what_an_mqtt_client_publishes(managed: Path) -> None:
    """Stored like any other event, and read by a module that wasn't there yet."""
    port = open_mqtt(managed)
    bundle(
        managed,
        "keeper",
        "from gridlink import Module, subscribe\n"
        "class Probe(Module[None]):\n"
        "    @subscribe('measurement', 'voltage')\n"
        "    async def on(self, voltage: dict) -> None:\n"
        "        self.log.info('kept %s', voltage['meter'])\n",
        durable=["measurement"],
    )
    async with running(managed) as node:
        await listening(node)
        with client(port) as meter:
            meter.publish(VOLTAGE, over_voltage("kept_meter"), 1)
        await eventually(lambda: "kept kept_meter" in node.output(), timeout_s=10)
        bus = node.sender._bus
        assert isinstance(bus, NatsBus)
        reply = json.loads(await bus.raw().request("$JS.gridlink.API.STREAM.INFO.topic-measurement", b""))
        assert reply["state"]["messages"] == 1


async def test_beyond_loopback_tls_and_a_password_are_wanted(managed: Path) -> None:
    """As `configs/substation/site-mqtt.json` has it."""
    ca = authority(managed.parent / "ca.pem", managed.parent / "ca-key.pem", "test")
    issue(ca, ["127.0.0.1"], managed / "mqtt.pem", managed / "mqtt-key.pem")
    (managed / "meter.password").write_text("pw\n")
    (managed / "meter.password").chmod(0o600)
    files = {"certificate": "mqtt.pem", "key": "mqtt-key.pem", "users": {"meter": "meter.password"}}
    port = open_mqtt(managed, listen="0.0.0.0", **files)
    async with running(managed) as node:
        await listening(node)
        with client(port, "meter", "pw", managed.parent / "ca.pem") as meter:
            assert meter.subscribe(PROBLEMS, 1)
            meter.publish(VOLTAGE, over_voltage("far"), 1)
            assert meter.received.get(timeout=10)[1]["meter"] == "far"
        for user, password in (("meter", "wrong"), ("", "")):
            with pytest.raises(ConnectionRefusedError), client(port, user, password, managed.parent / "ca.pem"):
                pytest.fail("it was let in")


@pytest.mark.parametrize("missing", ["users", "certificate"])
def test_a_listener_that_would_be_open_keeps_the_node_from_starting(managed: Path, missing: str) -> None:
    """Before anything is written that would open it, in one line."""
    for name in ("mqtt.pem", "mqtt-key.pem", "meter.password"):
        (managed / name).write_text("x")
        (managed / name).chmod(0o600)
    files: dict[str, Any] = {"certificate": "mqtt.pem", "key": "mqtt-key.pem", "users": {"meter": "meter.password"}}
    if missing == "certificate":
        del files["key"]
    del files[missing]
    open_mqtt(managed, listen="0.0.0.0", **files)
    done = subprocess.run([NODE, "--manage", str(managed), "--no-view"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "a listener beyond loopback needs TLS and users" in done.stderr.splitlines()[-1]
    assert not (managed / ".gridlink" / "jetstream").exists()
