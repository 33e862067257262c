"""The MQTT listener of a site: what `mqtt` in the site file may say, and what nats-server is told of it. Pure.

MQTT 3.1.1, topics only: `gl/<site>/topic/<topic>/<type>` is the NATS subject with slashes for dots. It lives in the
site's JetStream server, which MQTT needs for its sessions. Beyond loopback it opens with TLS and users, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from gridlink.address import ROOT
from gridlink.errors import TrustInvalid

PORT = 1883
STORE = "jetstream"  # the user by which the JetStream server itself is a leaf of the node's: no client's name
NOBODY = "anybody on this machine"  # the user of a listener on loopback that asks for no name


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """`users`: name -> file with the password or its bcrypt hash. Files are relative to the site file."""

    listen: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = PORT
    users: dict[str, str] = field(default_factory=dict)
    certificate: str = ""
    key: str = ""
    ca: str = ""  # where given, clients need a certificate of it, too


def check(settings: MqttSettings, loopback: bool) -> None:
    """Raises TrustInvalid for a listener that others reach without both TLS and users, and for a user STORE."""
    if STORE in settings.users:
        raise TrustInvalid(f"mqtt: users: {STORE} is the JetStream server's own name: give the user another one")
    if bool(settings.certificate) != bool(settings.key):
        raise TrustInvalid("mqtt: expected both certificate and key, got one of them")
    lacks = "TLS (certificate, key)" if not settings.certificate else "users" if not settings.users else ""
    if lacks and not loopback:
        raise TrustInvalid(
            f"mqtt: {settings.listen}:{settings.port}: a listener beyond loopback needs TLS and users, this one has no "
            f"{lacks}: add them, or listen on 127.0.0.1"
        )


def users_of(site: str, passwords: Mapping[str, str]) -> list[dict[str, object]]:
    """The users of the listener in nats-server's words: topics of the site, and nothing else."""
    topics = f"{ROOT}.{site}.topic.>"
    rights = {"publish": [topics], "subscribe": [topics, "$MQTT.sub.>"]}  # the latter: what comes with QoS 1
    return [{"user": name, "password": password, "permissions": rights} for name, password in passwords.items()]


def block(settings: MqttSettings) -> dict[str, object]:
    """nats-server's `mqtt` block; the files as they are to be opened."""
    found: dict[str, object] = {"listen": f"{settings.listen}:{settings.port}"}
    if not settings.users:
        found["no_auth_user"] = NOBODY
    if settings.certificate:
        tls = {"cert_file": settings.certificate, "key_file": settings.key, "timeout": 5}
        found["tls"] = {**tls, "ca_file": settings.ca, "verify": True} if settings.ca else tls
    return found
