"""The options of `gridlink init` that make trust directories: `--cluster` and `--uplink`, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from gridlink.bus.trust import CLIENT_PORT, GROUP, GROUP_PORT, ROUTE_PORT, Discovery

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = [
    click.option("--cluster", "site", metavar="SITE", help="Make DIR/MACHINE, for servers that others may reach."),
    click.option("--machines", metavar="A,B,…", default="", help="The machines that run a server of the site."),
    click.option(
        "--hosts", metavar="A=HOST,…", default="", help="How a machine is reached, if not by its name; may be repeated."
    ),
    click.option("--port", default=CLIENT_PORT, show_default=True, help="Where the servers listen for clients."),
    click.option("--route-port", default=ROUTE_PORT, show_default=True, help="Where they listen for each other."),
    click.option("--listen", default="0.0.0.0", show_default=True, help="The address that they listen on."),
    click.option(
        "--multicast", metavar="GROUP:PORT", default=f"{GROUP}:{GROUP_PORT}", show_default=True, help="For beacons."
    ),
    click.option("--interface", default="", metavar="NAME", help="The beacons' network interface, if not the host's."),
    click.option("--no-multicast", is_flag=True, help="No beacons: the servers are given the list of all hosts."),
    click.option(
        "--policy",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A site.json: the servers let each machine send what its entry 'access' allows, and nothing else.",
    ),
    click.option("--no-policy", is_flag=True, help="The machines may send anything again."),
    click.option(
        "--modules", multiple=True, metavar="A=MODULE,…", help="What a machine runs, for --policy. [any module]"
    ),
    click.option("--uplink", metavar="tls://HOST", help="Make DIR/hub, and DIR/site-SITE for --site's machines."),
    click.option("--site", "uplink_site", metavar="SITE", default="", help="The site that --uplink is for."),
]


@dataclass(frozen=True, slots=True)
class TrustOptions:
    """What was asked for, as it was written."""

    site: str | None
    machines: str
    hosts: str
    port: int
    route_port: int
    listen: str
    multicast: str
    interface: str
    no_multicast: bool
    policy: Path | None
    no_policy: bool
    modules: tuple[str, ...]
    uplink: str | None
    uplink_site: str

    def wanted(self) -> bool:
        """Whether trust directories are asked for, instead of a managed one."""
        return bool(self.site or self.uplink)

    def make(self, directory: Path) -> list[Path]:
        """Makes them; returns their paths. Raises TrustInvalid, AddressInvalid, click.UsageError."""
        from gridlink.cli.trust import Bounds, Network, make_cluster, make_uplink  # noqa: PLC0415 - `cryptography`
        from gridlink.cli.trust_policy import policy_in  # noqa: PLC0415

        made: list[Path] = []
        if self.site:
            network = Network(self.listen, self.port, self.route_port, self._discovery())
            machines = [name.strip() for name in self.machines.split(",") if name.strip()]
            bounds = Bounds(policy_in(self.policy) if self.policy else None, self.modules, self.no_policy)
            made += make_cluster(directory, self.site, machines, self._hosts(), network, bounds)
        if self.uplink:
            if not self.uplink_site:
                raise click.UsageError("--uplink needs --site: the name of the site that joins the control centre")
            made += make_uplink(directory, self.uplink, self.uplink_site)
        return made

    def _discovery(self) -> Discovery | None:
        group, _, port = self.multicast.rpartition(":")
        if not group or not port.isdigit():
            raise click.UsageError(f"--multicast: expected GROUP:PORT, got {self.multicast!r}")
        return None if self.no_multicast else Discovery(group, int(port), self.interface)

    def _hosts(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for part in filter(None, self.hosts.split(",")):
            machine, equals, host = part.strip().partition("=")
            if not equals or not host:
                raise click.UsageError(f"--hosts: expected MACHINE=HOST,…, got {part!r}")
            found.setdefault(machine, []).append(host)
        return found


def trust_options(command: F) -> F:
    """Adds the options to a click command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
