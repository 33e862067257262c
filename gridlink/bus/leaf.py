"""The configuration of a site's JetStream server: one more nats-server, a leaf of the node's own. Pure.

JetStream never runs in a server of the mesh, where it would need a quorum. The leaf listens on loopback, wants a
password that nobody has (its clients are those of the mesh), keeps what fits its bounds, and names a domain of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from gridlink.address import REGISTRY, ROOT, TAP_ROOT
from gridlink.bus import mqtt
from gridlink.bus.cluster import is_loopback
from gridlink.bus.durable.settings import DOMAIN, MIB, TRANSFER, JetStreamSettings
from gridlink.bus.mqtt import MqttSettings
from gridlink.bus.server import LOOPBACK
from gridlink.codec import dumps

STORE_DIRECTORY = "store"  # in that of its files
_LEAFNODES = "leafnodes {\n"


def with_leaf_listener(text: str, port: int, password: str) -> str:
    """The configuration `text` of a node's nats-server, with a listener on loopback for the JetStream server."""
    listener = (
        f'  listen: "{LOOPBACK}:{port}"\n'
        f"  authorization {{ user: {mqtt.STORE}, password: {_quoted(password)}, timeout: 5 }}\n"
    )
    if _LEAFNODES in text:  # it has an uplink
        return text.replace(_LEAFNODES, _LEAFNODES + listener, 1)
    return f"{text}{_LEAFNODES}{listener}}}\n"


def leaf_configuration(
    site: str,
    directory: str,
    port: int,
    password: str,
    settings: JetStreamSettings,
    mqtt_settings: MqttSettings | None = None,
    mqtt_passwords: Mapping[str, str] | None = None,
) -> str:
    """The JetStream server's configuration; it dials the node's server at `port`, its files are in `directory`.

    Raises TrustInvalid for an MQTT listener that would be open to others without TLS and users.
    """
    users: list[dict[str, object]] = [{"user": mqtt.STORE, "password": password}]
    parts = [
        "# Written by Gridlink at each start: changes here are lost.",
        f"server_name: {_quoted(f'{site}-jetstream-{port}')}",
        f'listen: "{LOOPBACK}:-1"',
        f"ports_file_dir: {_quoted(directory)}",
        'max_payload: 1MB\nwrite_deadline: "2s"',
        'leafnodes {\n  reconnect: "250ms"\n'
        f'  remotes: [ {{ url: "nats-leaf://{mqtt.STORE}:{password}@{LOOPBACK}:{port}", compression: off\n'
        f"    deny_exports: {_quoted(kept_in(site, mqtt_settings is not None))} }} ]\n}}",
        "jetstream {\n"
        f"  store_dir: {_quoted(f'{directory}/{STORE_DIRECTORY}')}\n  domain: {DOMAIN}\n"
        f"  max_memory_store: {int(settings.max_memory_mib * MIB)}\n"
        f"  max_file_store: {int(settings.max_file_mib * MIB)}\n"
        f'  sync_interval: "{settings.sync_s:g}s"\n}}',
    ]
    if mqtt_settings is not None:
        mqtt.check(mqtt_settings, is_loopback(mqtt_settings.listen))
        users += mqtt.users_of(site, mqtt_passwords or {mqtt.NOBODY: password})
        parts.append(f"mqtt: {_quoted(mqtt.block(mqtt_settings))}")
    parts.append(f"authorization: {_quoted({'timeout': 5, 'users': users})}")
    return "\n".join([*parts, ""])


def kept_in(site: str, has_mqtt: bool) -> list[str]:
    """What the store sends to nobody: JetStream answers at whatever subject an asker names, and so would speak for it.

    Its answers go to inboxes; what MQTT clients publish, to topics.
    """
    own = f"{ROOT}.{site}"
    apart = [f"{own}.{kind}.>" for kind in ("role", "instance", REGISTRY, "store", TRANSFER)]
    return [*(apart if has_mqtt else [f"{ROOT}.>"]), f"{TAP_ROOT}.>", "$SRV.>"]


def _quoted(value: object) -> str:
    return dumps(value).decode()
