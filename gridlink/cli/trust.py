"""`gridlink init --cluster` and `--uplink`: the trust directories of a site's machines and of a control centre.

Made on a desk, where the keys of the CAs stay. Running it again keeps every key and adds what is new.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gridlink.address import token
from gridlink.bus import trust
from gridlink.bus.cluster import hub_configuration
from gridlink.bus.trust import ClusterFile, Discovery, UplinkFile, server_name
from gridlink.cli.certificates import Authority, authority, check_installed, issue, user, write_secret
from gridlink.cli.trust_policy import RuleDocument, modules_of, rights
from gridlink.codec import dumps
from gridlink.config import read_json, typed
from gridlink.errors import TrustInvalid

DESK, CA_KEY, OPERATOR, HUB = "desk.json", "ca-key.pem", "operator", "hub"
UPLINK_DESK, UPLINK_CA_KEY = "uplink-desk.json", "uplink-ca-key.pem"


@dataclass(frozen=True, slots=True)
class Desk:
    """`desk.json`: the cluster as it was asked for last."""

    site: str
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each machine; the first one is announced
    policy: tuple[RuleDocument, ...] | None = None  # rules that the machines' users are bound to; None for no bounds
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)  # that a machine runs; any, if it isn't named


@dataclass(frozen=True, slots=True)
class Network:
    """Where the servers listen and how they find each other. `discovery` None: by a list of all hosts."""

    listen: str = "0.0.0.0"
    port: int = trust.CLIENT_PORT
    route_port: int = trust.ROUTE_PORT
    discovery: Discovery | None = field(default_factory=Discovery)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the users of the machines may send. `policy`: None keeps what the desk has; `lifted`: no bounds any more."""

    policy: tuple[RuleDocument, ...] | None = None
    modules: tuple[str, ...] = ()  # `MACHINE=MODULE,…`
    lifted: bool = False


def make_cluster(
    directory: Path,
    site: str,
    machines: Sequence[str],
    hosts: Mapping[str, Sequence[str]],
    network: Network,
    bounds: Bounds = Bounds(),
) -> list[Path]:
    """Makes a directory a machine, and `operator` for commands from elsewhere; returns them. Raises TrustInvalid.

    `hosts`: names or addresses of a machine, its own name where none is given. Machines of an earlier call stay, and so
    do its bounds.
    """
    check_installed()
    desk = _desk(directory, token(site, "--cluster"))
    known = {machine: tuple(names) for machine, names in desk.hosts.items()}
    named = [*machines, *(name for name in hosts if name in known)]
    known |= {_machine(name): tuple(hosts.get(name, known.get(name, (name,)))) for name in named}
    unknown = sorted(set(hosts) - set(known))
    if unknown or not known:
        raise TrustInvalid(f"--hosts names {unknown[0]!r}: expected one of --machines" if unknown else
                           "--cluster needs --machines a,b,c: the machines that run a server of the site")  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    ca = authority(directory / trust.CA, directory / CA_KEY, f"gridlink {site}")
    beacon = directory / trust.BEACON_KEY
    if not beacon.exists():
        write_secret(beacon, os.urandom(32).hex().encode())
    users = {name: user(_made(directory / name) / trust.NODE_SEED) for name in (*known, OPERATOR)}
    policy = None if bounds.lifted else desk.policy if bounds.policy is None else bounds.policy
    modules = {**desk.modules, **modules_of(bounds.modules, known)}
    permissions = {} if policy is None else rights(policy, known, modules, site)
    (directory / DESK).write_bytes(dumps(asdict(Desk(site, known, policy, modules)), indent=True) + b"\n")
    for machine, names in known.items():
        routes = () if network.discovery else tuple(f"{other[0]}:{network.route_port}" for other in known.values())
        file = ClusterFile(
            site, machine, names[0], users, network.listen, network.port, network.route_port, network.discovery, routes,
            permissions,
        )  # fmt: skip
        _make_machine(directory, file, names, ca, known_before=desk.hosts.get(machine) == names)
    shutil.copy(directory / trust.CA, directory / OPERATOR / trust.CA)
    _operator_environment(directory / OPERATOR, site, [f"tls://{n[0]}:{network.port}" for n in known.values()])
    return [directory / name for name in (*known, OPERATOR)]


def _make_machine(directory: Path, file: ClusterFile, names: Sequence[str], ca: Authority, known_before: bool) -> None:
    own = directory / file.machine
    if not (known_before and (own / trust.CERTIFICATE).exists()):
        all_names = [file.machine, server_name(file.site), *names, "localhost", "127.0.0.1", "::1"]
        issue(ca, all_names, own / trust.CERTIFICATE, own / trust.KEY)
    shutil.copy(directory / trust.CA, own / trust.CA)
    write_secret(own / trust.BEACON_KEY, (directory / trust.BEACON_KEY).read_bytes())
    (own / trust.CLUSTER).write_bytes(dumps(asdict(file), indent=True) + b"\n")
    trust.read_trust(own, file.site)


def _operator_environment(own: Path, site: str, urls: Sequence[str]) -> None:
    lines = {
        "NATS_URL": ",".join(urls),
        "NATS_NKEY": own.resolve() / trust.NODE_SEED,
        "NATS_CA": own.resolve() / trust.CA,
        "NATS_TLS_NAME": server_name(site),
        "GRIDLINK_SITE": site,
    }
    (own / "environment").write_text("".join(f"export {name}={value}\n" for name, value in lines.items()))


def _desk(directory: Path, site: str) -> Desk:
    try:
        desk: Desk = typed(read_json(directory / DESK), Desk, str(directory / DESK))
    except FileNotFoundError:
        return Desk(site)
    if desk.site != site:
        raise TrustInvalid(f"{directory} holds the keys of site {desk.site!r}: use another directory for {site!r}")
    return desk


def _machine(name: str) -> str:
    if name in (OPERATOR, HUB):
        raise TrustInvalid(f"--machines: {name!r} is the name of a directory beside the machines': choose another")
    return token(name, "--machines")


def make_uplink(directory: Path, url: str, site: str) -> list[Path]:
    """Makes `hub` (the control centre's nats-server) or adds the site to it, and `site-SITE` for the site's machines.

    Returns both. Raises TrustInvalid.
    """
    check_installed()
    trust.check_uplink_url(url, "--uplink")
    parts = urlsplit(url)
    url = f"tls://{parts.hostname}:{parts.port or trust.LEAF_PORT}"
    sites = _sites(directory, url)
    hub, own = _made(directory / HUB), _made(directory / f"site-{token(site, '--site')}")
    _made(hub / "operators")
    ca = authority(directory / trust.UPLINK_CA, directory / UPLINK_CA_KEY, f"gridlink control centre {parts.hostname}")
    if not (hub / trust.CERTIFICATE).exists():
        names = [str(parts.hostname), "localhost", "127.0.0.1", "::1"]
        issue(ca, names, hub / trust.CERTIFICATE, hub / trust.KEY)
    operator = user(hub / "operators" / f"{site}.nk")
    sites[site] = {"leaf": user(own / trust.UPLINK_SEED), "operator": operator}
    document = {"url": url, "sites": sites}
    (directory / UPLINK_DESK).write_bytes(dumps(document, indent=True) + b"\n")
    shutil.copy(directory / trust.UPLINK_CA, hub / trust.CA)
    shutil.copy(directory / trust.UPLINK_CA, own / trust.UPLINK_CA)
    (hub / "hub.conf").write_text(hub_configuration(parts.port or trust.LEAF_PORT, sites))
    (own / trust.UPLINK).write_bytes(dumps(asdict(UplinkFile(site, url)), indent=True) + b"\n")
    trust.read_trust(own, site)
    return [hub, own]


def _sites(directory: Path, url: str) -> dict[str, dict[str, str]]:
    try:
        document = read_json(directory / UPLINK_DESK)
    except FileNotFoundError:
        return {}
    if document["url"] != url:
        raise TrustInvalid(
            f"{directory} holds the keys of the control centre {document['url']}: use another directory for {url}"
        )
    found: dict[str, dict[str, str]] = document["sites"]
    return found


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory
