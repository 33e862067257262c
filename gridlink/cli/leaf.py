"""Whether a node runs the site's JetStream server, and its files: where a bundle or the site file asks for it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gridlink.bus.cluster import is_loopback
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.leaf import leaf_configuration
from gridlink.bus.mqtt import MqttSettings, check
from gridlink.bus.server import LOOPBACK
from gridlink.errors import ConfigInvalid, GridlinkError, ServerUnreachable, TrustInvalid
from gridlink.node.bundle import find_bundles, read_bundle
from gridlink.proxies.site import SiteDocument, read_site_file


@dataclass(frozen=True, slots=True)
class LeafPlan:
    """A JetStream server that is to be started: what it keeps, what it opens, and how it reaches the node's server."""

    settings: JetStreamSettings
    mqtt: MqttSettings | None
    passwords: dict[str, str]  # of MQTT users
    port: int
    password: str


def plan_leaf(managed: Path, site_file: Path, node: str, clustered: bool) -> LeafPlan | None:
    """What to start on this node; None where nothing asks for it, or another machine has it.

    Raises ConfigInvalid, TrustInvalid and ServerUnreachable.
    """
    document = read_site_file(site_file).document if site_file.exists() else SiteDocument()
    settings = document.jetstream or JetStreamSettings()
    if settings.machine and settings.machine != node:
        return None
    durable = durable_topics(managed)
    if not durable and document.jetstream is None and document.mqtt is None:
        return None
    if clustered and not settings.machine:
        what = f"the durable topic {durable[0]!r}" if durable else "MQTT or JetStream"
        raise ConfigInvalid(
            f"{site_file}: {what} needs a JetStream server, and a site of several machines has one: name its node as "
            '{"jetstream": {"machine": "NODE"}}, the same on all machines'
        )
    mqtt, passwords = _opened(document.mqtt, site_file.parent)
    port = free_port()
    return LeafPlan(settings, mqtt, passwords, port, secrets.token_urlsafe(24))


def durable_topics(managed: Path) -> list[str]:
    """The topics that bundles of a managed directory declare durable, those of NodeManagers in it included."""
    found: set[str] = set()
    for directory in find_bundles(managed):
        try:
            found.update(read_bundle(directory).manifest.durable)
        except GridlinkError:
            continue  # it doesn't run; the AppManager says why
        if (directory / "managed").is_dir():
            found.update(durable_topics(directory / "managed"))
    return sorted(found)


def write_leaf_file(plan: LeafPlan, site: str, directory: Path, write: Callable[[Path, str], None]) -> Path:
    """Writes the server's configuration with `write`; returns its path."""
    directory.mkdir(exist_ok=True)
    file = directory / "nats-server.conf"
    text = leaf_configuration(
        site, str(directory), plan.port, plan.password, plan.settings, plan.mqtt, plan.passwords or None
    )
    write(file, text)
    return file


def _opened(mqtt: MqttSettings | None, directory: Path) -> tuple[MqttSettings | None, dict[str, str]]:
    """The MQTT listener with its files found, the passwords of its users, and its port tried."""
    if mqtt is None:
        return None, {}
    paths = {name: str(directory / given) for name, given in _files(mqtt).items() if given}
    for name, path in paths.items():
        if not os.access(path, os.R_OK):
            raise TrustInvalid(f"mqtt: {name}: expected a file that can be read, got {path}")
    check(mqtt, is_loopback(mqtt.listen))
    passwords = {name: _password(name, directory / file) for name, file in mqtt.users.items()}
    try:
        with socket.socket(socket.AF_INET6 if ":" in mqtt.listen else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((mqtt.listen, mqtt.port))
    except OSError as error:
        raise ServerUnreachable(
            f"{mqtt.listen}:{mqtt.port} can't be opened for MQTT ({error.strerror}): end what holds it, or set `port` "
            "of `mqtt` in site.json"
        ) from error
    found = replace(mqtt, certificate=paths.get("certificate", ""), key=paths.get("key", ""), ca=paths.get("ca", ""))
    return found, passwords


def _files(mqtt: MqttSettings) -> dict[str, str]:
    return {"certificate": mqtt.certificate, "key": mqtt.key, "ca": mqtt.ca}


def _password(name: str, file: Path) -> str:
    try:
        mode, text = file.stat().st_mode, file.read_text().strip()
    except OSError as error:
        raise TrustInvalid(
            f"mqtt: users: {name}: expected a file with the password, {file}: {error.strerror}"
        ) from error
    if mode & 0o077:
        raise TrustInvalid(f"mqtt: users: {name}: {file} can be read by others (mode {mode & 0o777:o}): `chmod 600` it")
    if not text:
        raise TrustInvalid(f"mqtt: users: {name}: {file} is empty: put the password into it, or its bcrypt hash")
    return text


def free_port() -> int:
    """A port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
