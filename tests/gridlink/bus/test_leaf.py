"""The configuration of the JetStream server and of its MQTT listener. What isn't safe isn't written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridlink.bus.cluster import uplink_part
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.leaf import leaf_configuration, with_leaf_listener
from gridlink.bus.mqtt import MqttSettings
from gridlink.bus.server import configuration
from gridlink.errors import TrustInvalid

OPEN = MqttSettings(listen="0.0.0.0", certificate="/c.pem", key="/k.pem", users={"meter": "meter.password"})


def leaf(mqtt: MqttSettings | None = None, passwords: dict[str, str] | None = None) -> str:
    """The configuration, with what a site doesn't set left as it is."""
    return leaf_configuration("west", "/x", 7423, "secret", JetStreamSettings(), mqtt, passwords)


def test_it_is_bounded_has_a_domain_of_its_own_and_listens_on_loopback_alone() -> None:
    """A board's disk and memory are small, and an open port on a fresh board is a defect."""
    text = leaf()
    for line in ("domain: gridlink", "max_file_store: 268435456", "max_memory_store: 16777216"):
        assert line in text
    assert 'listen: "127.0.0.1:-1"' in text
    assert "nats-leaf://jetstream:secret@127.0.0.1:7423" in text
    assert "mqtt" not in text
    assert '"users":[{"user":"jetstream","password":"secret"}]' in text


def test_it_sends_nothing_but_answers_and_what_mqtt_clients_publish() -> None:
    """JetStream answers at whatever subject an asker names, with rights that the asker hasn't."""
    assert 'deny_exports: ["gl.>","gl-tap.>","$SRV.>"]' in leaf()
    apart = '"gl.west.role.>","gl.west.instance.>","gl.west.registry.>","gl.west.store.>","gl.west.transfer.>"'
    assert f'deny_exports: [{apart},"gl-tap.>","$SRV.>"]' in leaf(MqttSettings())


def test_the_nodes_server_listens_for_it_on_loopback_with_a_password() -> None:
    """Whoever is on the machine isn't the store."""
    text = with_leaf_listener(configuration("west", 4222, "/x"), 7423, "secret")
    assert 'leafnodes {\n  listen: "127.0.0.1:7423"\n  authorization { user: jetstream, password: "secret"' in text


def test_a_server_with_an_uplink_keeps_it() -> None:
    """The two share a block in nats-server's file."""
    text = with_leaf_listener(uplink_part("tls://centre:7422", "/ca.pem", "SU1"), 7423, "secret")
    assert text.count("leafnodes {") == 1
    assert 'listen: "127.0.0.1:7423"' in text
    assert '"tls://centre:7422"' in text


def test_mqtt_on_loopback_needs_no_name_and_reaches_topics_alone() -> None:
    """What is on the machine may publish measurements; roles, instances and the registry are none of its business."""
    text = leaf(MqttSettings())
    assert '"listen":"127.0.0.1:1883"' in text
    assert '"no_auth_user":"anybody on this machine"' in text
    assert '"publish":["gl.west.topic.>"],"subscribe":["gl.west.topic.>","$MQTT.sub.>"]' in text


def test_mqtt_beyond_loopback_has_tls_and_users() -> None:
    """Each user has topics alone, too."""
    text = leaf(OPEN, {"meter": "pw"})
    assert '"listen":"0.0.0.0:1883"' in text
    assert '"tls":{"cert_file":"/c.pem","key_file":"/k.pem","timeout":5}' in text
    assert '{"user":"meter","password":"pw","permissions":' in text
    assert "no_auth_user" not in text
    assert '"ca_file":"/ca.pem","verify":true' in leaf(replace(OPEN, ca="/ca.pem"), {"meter": "pw"})


@pytest.mark.parametrize(
    ("settings", "lacks"),
    [
        (replace(OPEN, users={}), "no users"),
        (replace(OPEN, certificate="", key=""), "no TLS"),
        (MqttSettings(listen="10.0.0.1"), "no TLS"),
        (MqttSettings(listen="board7"), "no TLS"),
        (replace(OPEN, key=""), "both certificate and key"),
        (replace(OPEN, users={"jetstream": "meter.password"}), "jetstream is the JetStream server's own name: give"),
        (MqttSettings(users={"jetstream": "meter.password"}), "jetstream is the JetStream server's own name: give"),
    ],
)
def test_mqtt_that_would_be_open_is_refused(settings: MqttSettings, lacks: str) -> None:
    """Before a file is written."""
    with pytest.raises(TrustInvalid, match=lacks):
        leaf(settings)
