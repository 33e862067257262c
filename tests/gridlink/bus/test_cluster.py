"""What isn't safe isn't written: listeners, routes and uplinks without TLS and credentials raise instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gridlink.bus.cluster import (
    Listener,
    Tls,
    hub_configuration,
    is_loopback,
    mesh_part,
    routes_text,
    server_part,
    uplink_part,
)
from gridlink.bus.trust import ClusterFile, UplinkFile
from gridlink.config import read_json, typed
from gridlink.errors import TrustInvalid

USER = "U" + "A" * 55
TLS = Tls("cert.pem", "key.pem", "ca.pem")
CONFIGS = Path(__file__).parents[3] / "configs"
LACKING = [(None, {"m": USER}, "TLS"), (TLS, {}, "credentials"), (TLS, None, "credentials")]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_needs_nothing(host: str) -> None:
    """The default, as ever."""
    assert is_loopback(host)
    assert f'listen: "{host}:4222"' in server_part("a", "m", Listener(host, 4222), "/tmp")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "board-1", "fe80::1", "", "127.0.0.1.evil.example"])
@pytest.mark.parametrize(("tls", "users", "lacks"), LACKING)
def test_any_other_listener_needs_tls_and_credentials(
    host: str, tls: Tls | None, users: dict[str, str] | None, lacks: str
) -> None:
    """And the error says what to do."""
    with pytest.raises(TrustInvalid, match=f"has no {lacks}: make them with `gridlink init"):
        server_part("a", "m", Listener(host, 4222, tls, users), "/tmp")


def test_a_user_without_an_nkey_is_no_credential() -> None:
    """A password or an empty string would be an open door."""
    with pytest.raises(TrustInvalid, match="'m' has none"):
        server_part("a", "m", Listener("0.0.0.0", 4222, TLS, {"m": "secret"}), "/tmp")


def test_a_route_needs_tls_and_asks_the_other_end_for_a_certificate() -> None:
    """`verify`: the certificate is a server's credential."""
    cluster = ClusterFile("a", "m", "10.0.0.1", {"m": USER})
    with pytest.raises(TrustInvalid, match="a route between servers needs TLS"):
        mesh_part(cluster, None)
    text = mesh_part(cluster, TLS)
    assert "verify: true" in text
    assert 'ping_interval: "800ms"' in text
    assert 'write_deadline: "2s"' in text


@pytest.mark.parametrize("url", ["nats://hub:7422", "hub:7422", "tls://", "ws://hub"])
def test_an_uplink_needs_tls(url: str) -> None:
    """Its own."""
    with pytest.raises(TrustInvalid, match="no uplink without TLS"):
        uplink_part(url, "ca.pem", "SU")


@pytest.mark.parametrize(("ca", "seed"), [("", "SU"), ("ca.pem", "")])
def test_an_uplink_needs_a_ca_and_a_key(ca: str, seed: str) -> None:
    """Both."""
    with pytest.raises(TrustInvalid, match="gridlink init --uplink"):
        uplink_part("tls://hub:7422", ca, seed)


def test_a_control_centre_gives_each_site_an_account_of_its_own() -> None:
    """With the subjects of the site."""
    text = hub_configuration(7422, {"a": {"leaf": USER}, "b": {"leaf": USER}})
    assert '"a": { jetstream: enabled, users: [' in text
    assert '"gl.b.>"' in text
    assert text.count("verify: false") == 2
    with pytest.raises(TrustInvalid):
        hub_configuration(7422, {"a": {}})


def test_names_with_quotes_stay_inside_their_quotes() -> None:
    """A path can't become a setting."""
    text = server_part("a", 'm"\nlisten: "0.0.0.0:1', Listener("127.0.0.1", 4222), '/tmp/"x')
    assert text.count("\nlisten:") == 1
    assert routes_text(["10.0.0.1:6222"]) == 'routes: ["nats-route://10.0.0.1:6222"]\n'


def test_the_examples_in_configs_are_what_gridlink_reads_and_writes() -> None:
    """An example that no longer fits would mislead."""
    cluster = typed(read_json(CONFIGS / "substation" / "cluster.json"), ClusterFile, "cluster.json")
    assert mesh_part(cluster, TLS)
    uplink = typed(read_json(CONFIGS / "board" / "uplink.json"), UplinkFile, "uplink.json")
    assert uplink_part(uplink.url, "ca.pem", "SU")
    written = (CONFIGS / "control-centre" / "hub.conf").read_text()
    keys = re.findall(r"nkey: (\w+)", written)
    sites = {
        site: dict(zip(("leaf", "operator"), pair, strict=True))
        for site, pair in (("west", keys[:2]), ("east", keys[2:]))
    }
    assert hub_configuration(7422, sites) == written
