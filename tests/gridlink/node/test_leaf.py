"""When a node runs the site's JetStream server: where something asks for it, on the machine that the site names."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from gridlink.errors import ConfigInvalid, GridlinkError, ServerUnreachable, TrustInvalid
from gridlink.node.leaf import free_port, plan_leaf
from gridlink.proxies.site import read_site_file
from tests.acceptance.running import bundle, good

ROOT = Path(__file__).parents[3]


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with one bundle that asks for nothing."""
    bundle(tmp_path / "managed", "plain", good("plain"))
    return tmp_path / "managed"


def plan(managed: Path, site: dict[str, Any] | None = None, *, clustered: bool = False) -> Any:
    """The plan of node `board1`, with the site file given."""
    file = managed / "site.json"
    if site is not None:
        file.write_text(json.dumps(site))
    return plan_leaf(managed, file, "board1", clustered)


def test_nothing_is_started_where_nothing_asks_for_it(managed: Path) -> None:
    """Seven MiB on each of thousands of boards."""
    assert plan(managed) is None
    assert plan(managed, {"proxies": []}) is None


@pytest.mark.parametrize("site", [{"mqtt": {"port": 0}}, {"jetstream": {"max_file": 1}}, {"mqtt": {"listen": 5}}])
def test_a_wrong_site_file_is_refused_with_its_path(managed: Path, site: dict[str, Any]) -> None:
    """As any other setting."""
    with pytest.raises(ConfigInvalid, match=r"site\.json"):
        plan(managed, site)


def test_a_bundle_that_declares_a_durable_topic_asks_for_it(managed: Path) -> None:
    """Also one that a NodeManager of the directory manages."""
    bundle(managed, "inner", good("inner"))
    bundle(managed / "inner" / "managed", "keeper", good("keeper"), durable=["measurement"])
    assert plan(managed).mqtt is None


def test_the_site_file_can_ask_for_it_before_any_bundle_does(managed: Path) -> None:
    """A durable bundle can then be installed while the node runs."""
    assert plan(managed, {"jetstream": {}}).settings.max_file_mib == 256
    assert plan(managed, {"mqtt": {"port": free_port()}}).mqtt.listen == "127.0.0.1"


def test_one_machine_of_a_site_runs_it(managed: Path) -> None:
    """A store in two places would be two stores."""
    site = {"jetstream": {"machine": "board1"}}
    assert plan(managed, site, clustered=True) is not None
    assert plan(managed, {"jetstream": {"machine": "board2"}}, clustered=True) is None
    with pytest.raises(ConfigInvalid, match=r'name its node as \{"jetstream": \{"machine": "NODE"\}\}'):
        plan(managed, {"jetstream": {}}, clustered=True)


def test_passwords_come_from_files_that_their_owner_alone_can_read(managed: Path) -> None:
    """A site file is copied to all machines; a password in it would be everybody's."""
    password = managed / "meter.password"
    site = {"mqtt": {"port": free_port(), "users": {"meter": "meter.password"}}}
    with pytest.raises(TrustInvalid, match=r"expected a file with the password, .*meter\.password"):
        plan(managed, site)
    password.write_text("pw\n")
    password.chmod(0o644)
    with pytest.raises(TrustInvalid, match="can be read by others"):
        plan(managed, site)
    password.chmod(0o600)
    assert plan(managed, site).passwords == {"meter": "pw"}
    password.write_text("\n")
    with pytest.raises(TrustInvalid, match="is empty"):
        plan(managed, site)


def test_a_port_that_is_taken_is_said_before_anything_starts(managed: Path) -> None:
    """Else the server would end again and again."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(ServerUnreachable, match="can't be opened for MQTT"):
            plan(managed, {"mqtt": {"port": holder.getsockname()[1]}})


def test_a_certificate_that_is_not_there_is_said(managed: Path) -> None:
    """Its path is relative to the site file."""
    site = {"mqtt": {"port": free_port(), "certificate": "mqtt.pem", "key": "mqtt-key.pem"}}
    with pytest.raises(TrustInvalid, match=r"certificate: expected a file that can be read, got .*managed/mqtt\.pem"):
        plan(managed, site)


@pytest.mark.parametrize("file", sorted(ROOT.glob("configs/*/site-*.json")), ids=lambda file: f"{file.parent.name}")
def test_the_delivered_site_files_are_read(file: Path) -> None:
    """They are copied as they are."""
    try:
        document = read_site_file(file).document
    except GridlinkError as error:
        pytest.fail(str(error))
    assert document.mqtt or document.jetstream
