"""What a machine's trust directory holds: the certificates, keys and names by which servers and nodes know each other.

`gridlink init --cluster` and `--uplink` make it. `cluster.json` (with `ca.pem`, `server.pem`, `server-key.pem`,
`node.nk`, `beacon.key`) lets the machine's server listen for others of its site; `uplink.json` (with `uplink-ca.pem`,
`uplink.nk`) lets it join a control centre. Read before anything opens; a directory that isn't whole is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gridlink.address import ROOT, TAP_ROOT, token
from gridlink.bus.durable.settings import CENTRE, DOMAIN
from gridlink.config import read_json, typed
from gridlink.errors import ConfigInvalid, TrustInvalid

CLUSTER, UPLINK = "cluster.json", "uplink.json"
CA, CERTIFICATE, KEY, NODE_SEED, BEACON_KEY = "ca.pem", "server.pem", "server-key.pem", "node.nk", "beacon.key"
UPLINK_CA, UPLINK_SEED = "uplink-ca.pem", "uplink.nk"
SECRETS = frozenset({KEY, NODE_SEED, BEACON_KEY, UPLINK_SEED})
CLIENT_PORT, ROUTE_PORT, LEAF_PORT = 4222, 6222, 7422
GROUP, GROUP_PORT = "239.255.71.76", 7176  # of the range that RFC 2365 leaves to a site

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Discovery:
    """Where beacons are sent and heard. `interface`: a name (`eth0`) or an IPv4 address; empty takes `host`'s."""

    group: str = GROUP
    port: int = GROUP_PORT
    interface: str = ""


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """`cluster.json`. `host` is what the others reach this machine by; it is in the server's certificate."""

    site: str
    machine: str
    host: str
    users: dict[str, str]  # name -> public nkey: a user a machine, and the operators
    listen: str = "0.0.0.0"
    port: int = CLIENT_PORT
    route_port: int = ROUTE_PORT
    discovery: Discovery | None = field(default_factory=Discovery)  # null where multicast is off
    routes: tuple[str, ...] = ()  # the given list, `host:port` each
    permissions: dict[str, dict[str, Any]] = field(default_factory=dict)  # of users that haven't all of the site's


@dataclass(frozen=True, slots=True)
class UplinkFile:
    """`uplink.json`: the control centre's leaf listener and the site that this machine's server joins it as."""

    site: str
    url: str


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust directory that was read and found whole."""

    directory: Path
    cluster: ClusterFile | None
    uplink: UplinkFile | None
    uplink_seed: str = field(default="", repr=False)  # nats-server wants it in its configuration

    def path(self, name: str) -> str:
        """The path of one of its files."""
        return str(self.directory / name)

    def environment(self) -> dict[str, str]:
        """What a client of this machine's server needs in its environment; see gridlink.config.credentials."""
        if self.cluster is None:
            return {}
        return {
            "NATS_NKEY": self.path(NODE_SEED),
            "NATS_CA": self.path(CA),
            "NATS_TLS_NAME": server_name(self.cluster.site),
            "NATS_INBOX_PREFIX": f"_INBOX.{self.cluster.machine}",
        }


def server_name(site: str) -> str:
    """The name that the certificates of all servers of a site have in common: clients move between those servers."""
    return f"{site}.gridlink.internal"


def subjects(site: str) -> list[str]:
    """What a user of a site may publish and subscribe to, and nothing else: all that the site has, and taps."""
    store = [f"$JS.{DOMAIN}.API.>", f"$JS.{CENTRE}.API.>", "$JS.ACK.>"]  # of the site's JetStream, and the centre's
    return [f"{ROOT}.{site}.>", f"{TAP_ROOT}.{site}.>", "_INBOX.>", "$SRV.>", *store]


def operator_rights(site: str) -> dict[str, Any]:
    """The same, as the `permissions` of a nats-server's user. A policy narrows those of machines, not this."""
    return {"publish": subjects(site), "subscribe": subjects(site)}


def read_trust(directory: Path, site: str) -> Trust:
    """The trust directory, checked. Raises TrustInvalid where it isn't one, lacks a file, or is another site's."""
    cluster = _document(directory / CLUSTER, ClusterFile)
    uplink = _document(directory / UPLINK, UplinkFile)
    if cluster is None and uplink is None:
        raise TrustInvalid(
            f"{directory}: expected {CLUSTER} or {UPLINK}, found neither: copy the machine's directory that "
            "`gridlink init --cluster` or `--uplink` has made"
        )
    if cluster is not None:
        _check(directory, CLUSTER, cluster.site, site, (CA, CERTIFICATE, KEY, NODE_SEED, BEACON_KEY))
        _check_cluster(directory / CLUSTER, cluster)
    if uplink is not None:
        _check(directory, UPLINK, uplink.site, site, (UPLINK_CA, UPLINK_SEED))
        check_uplink_url(uplink.url, str(directory / UPLINK))
    seed = (directory / UPLINK_SEED).read_text().strip() if uplink is not None else ""
    return Trust(directory, cluster, uplink, seed)


def check_uplink_url(url: str, where: str) -> None:
    """Raises TrustInvalid for a control centre's URL that isn't `tls://HOST[:PORT]`."""
    parts = urlsplit(url)
    if parts.scheme != "tls" or not parts.hostname:
        raise TrustInvalid(f"{where}: expected the control centre as tls://HOST:{LEAF_PORT}, got {url!r}: no uplink "
                           "without TLS")  # fmt: skip


def _document(file: Path, type_: type[T]) -> T | None:
    try:
        document: Any = typed(read_json(file), type_, str(file))
    except FileNotFoundError:
        return None
    except (ConfigInvalid, OSError) as error:
        raise TrustInvalid(str(error)) from error
    return document  # type: ignore[no-any-return]


def _check(directory: Path, file: str, found: str, wanted: str, needed: tuple[str, ...]) -> None:
    if found != wanted:
        raise TrustInvalid(
            f"{directory / file} is of site {found!r}, this node is of site {wanted!r}: use --site {found}, or the "
            f"directory that was made for {wanted!r}"
        )
    for name in needed:
        try:
            mode = os.stat(directory / name).st_mode
        except OSError as error:
            raise TrustInvalid(
                f"{directory / name} is missing: without it only loopback may be opened; copy the whole directory"
            ) from error
        if name in SECRETS and mode & 0o077:
            raise TrustInvalid(f"{directory / name} can be read by others (mode {mode & 0o777:o}): `chmod 600` it")


def _check_cluster(file: Path, cluster: ClusterFile) -> None:
    token(cluster.site, f"{file}: site")
    token(cluster.machine, f"{file}: machine")
    check_users(cluster.users, str(file))
    strangers = sorted(set(cluster.permissions) - set(cluster.users))
    if strangers:
        raise TrustInvalid(f"{file}: expected permissions of its users {list(cluster.users)}, got {strangers[0]!r}'s")
    if cluster.machine not in cluster.users:
        raise TrustInvalid(f"{file}: expected a user {cluster.machine!r} for this machine, got {list(cluster.users)}")
    if cluster.discovery is None and not cluster.routes and len(cluster.users) > 1:
        raise TrustInvalid(f"{file}: with discovery off, `routes` must list the other servers as host:port")


def check_users(users: Mapping[str, str], where: str) -> None:
    """Raises TrustInvalid unless there are users, each with a public nkey."""
    wrong = [name for name, key in users.items() if not (len(key) == 56 and key.startswith("U"))]
    if not users or wrong:
        what = f"{wrong[0]!r} has none" if wrong else "there is no user"
        raise TrustInvalid(f"{where}: expected a user a machine with a public nkey (U…), {what}: a listener without "
                           "credentials isn't opened")  # fmt: skip
