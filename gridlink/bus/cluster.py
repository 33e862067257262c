"""The configuration of a nats-server that others than its own machine reach. Pure; what isn't safe isn't written.

Whatever listens elsewhere than on loopback has TLS and nkey users; a route has a certificate of the site's own CA on
both ends; an uplink has TLS and an nkey. Anything less raises TrustInvalid before a file is written or a port opened.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gridlink.bus.durable.settings import CENTRE
from gridlink.bus.trust import (
    CA,
    CERTIFICATE,
    KEY,
    UPLINK_CA,
    ClusterFile,
    Trust,
    check_uplink_url,
    check_users,
    operator_rights,
)
from gridlink.codec import dumps
from gridlink.errors import TrustInvalid

ROUTES_FILE = "routes.conf"
_HANDSHAKE_S = 5  # a slow board, or a control centre behind 400 ms and 2 % loss


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of a server's certificate, its key, and the CA that it trusts."""

    certificate: str
    key: str
    ca: str

    def block(self, verify: bool) -> str:
        """`tls {…}`; `verify`: the other end needs a certificate of the CA too."""
        return (
            f"tls {{ cert_file: {_quoted(self.certificate)}, key_file: {_quoted(self.key)}, "
            f"ca_file: {_quoted(self.ca)}, verify: {'true' if verify else 'false'}, timeout: {_HANDSHAKE_S} }}"
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """Where clients connect, and what they need for it."""

    host: str
    port: int
    tls: Tls | None = None
    users: Mapping[str, str] | None = None
    advertise: str = ""

    def check(self) -> None:
        """Raises TrustInvalid for a listener that others reach, and that has not both TLS and users."""
        if is_loopback(self.host):
            return
        if self.tls is None or not self.users:
            lacks = "TLS" if self.tls is None else "credentials"
            raise TrustInvalid(
                f"{self.host}:{self.port}: a listener beyond loopback needs TLS and credentials, this one has no "
                f"{lacks}: make them with `gridlink init DIR --cluster SITE --machines …` and use --trust, or listen "
                "on 127.0.0.1"
            )
        check_users(self.users, f"{self.host}:{self.port}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name other than localhost may be anybody's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listener_of(trust: Trust, cluster: ClusterFile) -> Listener:
    """The client listener of a machine of a cluster."""
    return Listener(
        cluster.listen,
        cluster.port,
        Tls(trust.path(CERTIFICATE), trust.path(KEY), trust.path(CA)),
        cluster.users,
        f"{cluster.host}:{cluster.port}",
    )


def trusted_configuration(trust: Trust, loopback_port: int, directory: str) -> str:
    """The server's configuration file. Its routes are in `directory`/routes.conf, which the beacon adds to.

    `loopback_port` is for a machine that has an uplink and no cluster. Raises TrustInvalid.
    """
    cluster, uplink = trust.cluster, trust.uplink
    listener = listener_of(trust, cluster) if cluster is not None else Listener("127.0.0.1", loopback_port)
    site = cluster.site if cluster is not None else uplink.site if uplink is not None else ""
    parts = [server_part(site, cluster.machine if cluster else str(loopback_port), listener, directory)]
    # A global limit holds for the uplink too, and its answers take seconds where packets are lost.
    parts.append(f'ping_interval: "1s"\nping_max: {6 if uplink else 2}\nwrite_deadline: "{10 if uplink else 2}s"\n')
    if cluster is not None:
        parts.append(users_part(cluster.site, cluster.users, cluster.permissions))
        parts.append(mesh_part(cluster, listener.tls))
    if uplink is not None:
        parts.append(uplink_part(uplink.url, trust.path(UPLINK_CA), trust.uplink_seed))
    return "\n".join(parts)


def server_part(site: str, name: str, listener: Listener, directory: str) -> str:
    """Names, limits and the client listener. Raises TrustInvalid."""
    listener.check()
    lines = [
        "# Written by Gridlink at each start: changes here are lost.",
        f"server_name: {_quoted(f'{site}-{name}')}",
        f"listen: {_quoted(f'{listener.host}:{listener.port}')}",
        f"ports_file_dir: {_quoted(directory)}",
        "max_payload: 1MB",
    ]
    if listener.advertise:
        lines.append(f"client_advertise: {_quoted(listener.advertise)}")
    if listener.tls is not None:
        lines.append(listener.tls.block(verify=False))
    return "\n".join(lines) + "\n"


def users_part(site: str, users: Mapping[str, str], permissions: Mapping[str, Mapping[str, Any]]) -> str:
    """The nkey users of the site's own account, each with its permissions, or all subjects of its site and no other."""
    lines = [
        f"    {{ nkey: {key}, permissions: {dumps(permissions.get(name, operator_rights(site))).decode()} }} # {name}"
        for name, key in users.items()
    ]
    return f"authorization {{\n  timeout: {_HANDSHAKE_S}\n  users: [\n" + "\n".join(lines) + "\n  ]\n}\n"


def mesh_part(cluster: ClusterFile, tls: Tls | None) -> str:
    """The routes to the site's other servers. Raises TrustInvalid without TLS.

    A machine that falls silent without a word is given up after 1.6 to 2.4 s; by default that takes 89.
    """
    if tls is None:
        raise TrustInvalid(f"{cluster.host}: a route between servers needs TLS with a certificate of the site's own CA")
    return "\n".join(
        [
            "cluster {",
            f"  name: {_quoted(cluster.site)}",
            f"  listen: {_quoted(f'{cluster.listen}:{cluster.route_port}')}",
            f"  advertise: {_quoted(f'{cluster.host}:{cluster.route_port}')}",
            f"  {tls.block(verify=True)}",
            '  ping_interval: "800ms"\n  ping_max: 2\n  write_deadline: "2s"',
            "  pool_size: 1\n  connect_retries: 120",
            f"  include {ROUTES_FILE!r}",
            "}\n",
        ]
    )


def uplink_part(url: str, ca: str, seed: str) -> str:
    """The leaf connection to a control centre. Raises TrustInvalid for one without TLS or credentials."""
    check_uplink_url(url, "uplink")
    if not ca or not seed:
        raise TrustInvalid(
            f"{url}: an uplink needs the control centre's CA and the site's nkey: `gridlink init --uplink`"
        )
    return (
        'leafnodes {\n  reconnect: "1s"\n'
        f"  remotes: [ {{\n    url: {_quoted(url)}\n    nkey: {_quoted(seed)}\n"
        f"    tls {{ ca_file: {_quoted(ca)}, timeout: {_HANDSHAKE_S} }}\n"
        f'    first_info_timeout: "{_HANDSHAKE_S}s"\n  }} ]\n}}\n'
    )


def routes_text(routes: Iterable[str]) -> str:
    """The contents of routes.conf for addresses `host:port`."""
    return f"routes: {_listed([f'nats-route://{route}' for route in routes])}\n"


def _quoted(text: str) -> str:
    return dumps(text).decode()


def _listed(texts: list[str]) -> str:
    return dumps(texts).decode()


def hub_configuration(leaf_port: int, sites: Mapping[str, Mapping[str, str]], client_port: int = 4222) -> str:
    """A control centre's nats-server: an account a site, with the nkeys of its leaf and of its operators.

    Its files are named as they lie beside it. Both listeners have TLS, and nobody is let in without an nkey.
    """
    tls = Tls(CERTIFICATE, KEY, CA).block(verify=False)
    parts = [
        "# Written by `gridlink init --uplink`. Run it in this directory: nats-server -c hub.conf",
        'server_name: "control-centre"',
        f'listen: "0.0.0.0:{client_port}"',
        tls,
        'max_payload: 1MB\nping_interval: "1s"\nping_max: 6\nwrite_deadline: "10s"',
        f'leafnodes {{\n  listen: "0.0.0.0:{leaf_port}"\n  {tls}\n  authorization {{ timeout: 10 }}\n}}',
        f'jetstream {{\n  store_dir: "jetstream"\n  domain: {CENTRE}\n  max_memory_store: 16MB\n}}',
        "accounts {",
    ]
    for site, users in sites.items():
        check_users(users, f"site {site}")
        rights = operator_rights(site)
        rights["publish"] = [*rights["publish"], "$JS.API.>"]  # as this server reads its own domain's subjects
        allowed = dumps(rights).decode()
        nkeys = [f"    {{ nkey: {key}, permissions: {allowed} }} # {name}" for name, key in users.items()]
        parts.append("\n".join([f"  {_quoted(site)}: {{ jetstream: enabled, users: [", *nkeys, "  ] }"]))
    return "\n".join([*parts, "}", ""])
