"""Whether a node runs the site's JetStream server (the store), and its files. Loaded where it may have to.

The node's own server has a listener for it from the start, because nats-server can't be given one later: on loopback
alone, with a password that is made at each start. The store itself is started where something asks for it: a bundle
or the site file before the node starts, or an AppManager later. Its configuration file is there, or it isn't to run.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gridlink.bus.cluster import is_loopback
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.leaf import STORE_DIRECTORY, leaf_configuration
from gridlink.bus.mqtt import MqttSettings, check
from gridlink.bus.server import LOOPBACK
from gridlink.codec import dumps
from gridlink.config import read_json, typed
from gridlink.errors import ConfigInvalid, ServerUnreachable, TrustInvalid
from gridlink.node.bundle import durable_topics
from gridlink.proxies.site import SiteDocument, read_site_file

PLACE, CONFIGURATION = "nats/store.json", "jetstream/nats-server.conf"  # of `.gridlink`


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where the site's store runs, as this node was started: `store` is a node, empty where none is named.

    `port` and `password`: by which the store reaches this node's own server, where that node is this one.
    """

    site: str
    node: str
    clustered: bool
    store: str
    port: int = 0
    password: str = ""


@dataclass(frozen=True, slots=True)
class LeafPlan:
    """A JetStream server that is to be started: what it keeps, and what it opens."""

    settings: JetStreamSettings
    mqtt: MqttSettings | None
    passwords: dict[str, str]  # of MQTT users


def store_place(site_file: Path, site: str, node: str, clustered: bool) -> StorePlace:
    """Where the store is to be from this start on. Raises ConfigInvalid."""
    named = _document(site_file).jetstream
    store = (named.machine if named is not None else "") or ("" if clustered else node)
    if store != node:
        return StorePlace(site, node, clustered, store)
    return StorePlace(site, node, clustered, store, free_port(), secrets.token_urlsafe(24))


def plan_leaf(
    managed: Path, site_file: Path, node: str, clustered: bool, *, wanted: bool = False, running: str = ""
) -> LeafPlan | None:
    """What to start on this node; None where nothing asks for it, or another machine has it.

    `wanted`: something asks for it that isn't in the managed directory. `running`: the configuration of the store that
    runs, which may hold the MQTT port. Raises ConfigInvalid, TrustInvalid and ServerUnreachable.
    """
    document = _document(site_file)
    settings = document.jetstream or JetStreamSettings()
    if settings.machine and settings.machine != node:
        return None
    durable = durable_topics(managed)
    if not wanted and not durable and document.jetstream is None and document.mqtt is None:
        return None
    if clustered and not settings.machine:
        raise unnamed(site_file, f"the durable topic {durable[0]!r}" if durable else "MQTT, JetStream or a transfer")
    mqtt, passwords = _opened(document.mqtt, site_file.parent, running)
    return LeafPlan(settings, mqtt, passwords)


def unnamed(site_file: Path, what: str) -> ConfigInvalid:
    """Why there is no store in a site of several machines that doesn't say where."""
    return ConfigInvalid(
        f"{site_file}: {what} needs a JetStream server, and a site of several machines has one: name its node as "
        '{"jetstream": {"machine": "NODE"}}, the same on all machines, and start their nodes again'
    )


def _document(site_file: Path) -> SiteDocument:
    return read_site_file(site_file).document if site_file.exists() else SiteDocument()


def configuration_file(state: Path) -> Path:
    """The store's configuration, of a node whose own files are in `state`; it is there where the store is to run."""
    return state / CONFIGURATION


def store_directory(state: Path) -> Path:
    """What the store keeps, of a node whose own files are in `state`."""
    return configuration_file(state).parent / STORE_DIRECTORY


def write_place(state: Path, place: StorePlace | None) -> None:
    """Writes down where the store is; None: the bus isn't ours. No store is to run here any more."""
    configuration_file(state).unlink(missing_ok=True)
    file = state / PLACE
    if place is None:
        file.unlink(missing_ok=True)
        return
    write_privately(file, dumps(asdict(place)).decode())


def read_place(state: Path) -> StorePlace | None:
    """What `write_place` wrote; None where the bus isn't ours. Raises ConfigInvalid."""
    file = state / PLACE
    try:
        found: StorePlace = typed(read_json(file), StorePlace, str(file))
    except FileNotFoundError:
        return None
    return found


def write_leaf_file(state: Path, plan: LeafPlan, place: StorePlace) -> bool:
    """Writes the store's configuration: it is to run from now on. Returns whether it is another than before."""
    file = configuration_file(state)
    before = running_configuration(state)
    file.parent.mkdir(exist_ok=True)
    text = leaf_configuration(
        place.site, str(file.parent), place.port, place.password, plan.settings, plan.mqtt, plan.passwords or None
    )
    if text != before:
        write_privately(file, text)
    return text != before


def running_configuration(state: Path) -> str:
    """What the store was started with; empty where it isn't to run."""
    file = configuration_file(state)
    return file.read_text() if file.exists() else ""


def write_privately(file: Path, text: str) -> None:
    """Writes a file that its owner alone can read: it may hold a password, or the seed of an uplink."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)


def _opened(mqtt: MqttSettings | None, directory: Path, running: str) -> tuple[MqttSettings | None, dict[str, str]]:
    """The MQTT listener with its files found, the passwords of its users, and its port tried."""
    if mqtt is None:
        return None, {}
    paths = {name: str(directory / given) for name, given in _files(mqtt).items() if given}
    for name, path in paths.items():
        if not os.access(path, os.R_OK):
            raise TrustInvalid(f"mqtt: {name}: expected a file that can be read, got {path}")
    check(mqtt, is_loopback(mqtt.listen))
    passwords = {name: _password(name, directory / file) for name, file in mqtt.users.items()}
    if f'"listen":"{mqtt.listen}:{mqtt.port}"' not in running:
        _try_port(mqtt)
    found = replace(mqtt, certificate=paths.get("certificate", ""), key=paths.get("key", ""), ca=paths.get("ca", ""))
    return found, passwords


def _try_port(mqtt: MqttSettings) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in mqtt.listen else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((mqtt.listen, mqtt.port))
    except OSError as error:
        raise ServerUnreachable(
            f"{mqtt.listen}:{mqtt.port} can't be opened for MQTT ({error.strerror}): end what holds it, or set `port` "
            "of `mqtt` in site.json"
        ) from error


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
