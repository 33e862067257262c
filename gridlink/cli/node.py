"""`gridlink-node`: reads its options, then becomes the guardian. What it needed for that is gone with the exec."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from msgspec import structs

import gridlink
from appmanager.guardian.lock import ManagedLock
from gridlink.address import token
from gridlink.bus.cluster import trusted_configuration
from gridlink.bus.leaf import with_leaf_listener
from gridlink.bus.mesh import Routes
from gridlink.bus.server import LOOPBACK, STANDARD_PORT, configuration, find_program
from gridlink.bus.trust import ClusterFile, Trust, read_trust
from gridlink.codec import encode
from gridlink.config import machine_name, read_json, typed
from gridlink.errors import ConfigInvalid, GridlinkError, ManagedDirectoryInvalid, ServerUnreachable
from gridlink.node.bundle import find_bundles
from gridlink.node.choices import read_choices
from gridlink.node.leaf import (
    configuration_file,
    plan_leaf,
    store_place,
    write_leaf_file,
    write_place,
    write_privately,
)
from gridlink.node.plan import Choice, Policy, is_provisioned, read_plan
from gridlink.node.settings import HostSetting, LogSetting, NodeSettings
from nodemanager.watchdog.limits import MODES, WatchdogSetting

DEFAULT_SITE = "site"
STATE_DIR = ".gridlink"
TRUST_DIR = "trust"
SITE_FILE = "site.json"
WATCHDOG_FILE = "watchdog.json"
# Without `site` and runpy: 0.6 MiB of the guardian's. Line tables without columns are 0.4 MiB less in a node.
GUARDIAN = (
    *("-P", "-S", "-X", "no_debug_ranges", "-c"),
    "import sys; sys.path.append(sys.argv.pop(1)); from appmanager.guardian.__main__ import main; sys.exit(main())",
)
PACKAGES = Path(gridlink.__file__).resolve().parents[1]  # where appmanager and nodemanager are installed beside it


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the options say, checked."""

    managed: Path
    site: str
    node: str
    bus: str
    url: str
    mode: str
    nodemanager: bool
    for_s: float
    json_logs: bool
    watchdog: dict[str, Any]
    checkpoint_s: float
    memory_mib: float | None
    trust: Trust | None

    @property
    def state(self) -> Path:
        """The directory for all that isn't the operator's."""
        return self.managed / STATE_DIR


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--manage", "managed", required=True, metavar="DIR", help="The managed directory: its bundles are run.")
@click.option(
    "--mode", type=click.Choice(["process", "fork", "node"]), help="How all bundles run, whatever they ask for."
)
@click.option("--without-nodemanager", is_flag=True, help="Every bundle in a process of its own (the old solution).")
@click.option(
    "--bus", type=click.Choice(["nats", "local"]), default="nats", show_default=True, help="local: one process."
)
@click.option("--nats", "url", envvar="NATS_URL", default="", metavar="URL", help="A nats-server that runs already.")
@click.option("--site", envvar="GRIDLINK_SITE", default=DEFAULT_SITE, show_default=True, help="The site's name.")
@click.option("--node", default="", help="This node's name; the machine's, if it isn't given.")
@click.option(
    "--trust", default="", metavar="DIR", help="This machine's directory of `gridlink init --cluster|--uplink`."
)
@click.option("--for", "for_s", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="End after so long.")
@click.option(
    "--watchdog",
    type=click.Choice(MODES),
    help="What becomes of a module in mode node that keeps the event loop to itself; limits are in DIR/watchdog.json.",
)
@click.option(
    "--checkpoint-every",
    "checkpoint_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How often modules' states are kept for a crash; 0: only when they stop.",
)
@click.option(
    "--memory",
    "memory_mib",
    type=click.FloatRange(min=24),
    metavar="MIB",
    help="What the node's own process may take before it is replaced without the module that filled it; else all but "
    "5 % of the machine's.",
)
@click.option("--json-logs", is_flag=True, help="Log records as JSON, one a line.")
@click.option("--view/--no-view", default=None, help="A live view; the default on a terminal.")
@click.version_option(gridlink.__version__, prog_name="gridlink-node")
def command(view: bool | None, **options: Any) -> None:
    """Runs the bundles of a managed directory on this machine."""
    try:
        checked_options = checked(**options)
        if checked_options.trust is not None:
            os.environ.update(checked_options.trust.environment())  # of all processes of this node
        if view if view is not None else sys.stdout.isatty() and checked_options.bus == "nats":
            from gridlink.cli.view import watch_guardian  # noqa: PLC0415 - rich, where people look

            sys.exit(watch_guardian(guardian_command(checked_options), checked_options.state))
        become_guardian(checked_options)
    except GridlinkError as error:
        click.echo(f"gridlink-node: {error}", err=True)
        sys.exit(1)


def checked(
    managed: str,
    mode: str | None,
    without_nodemanager: bool,
    bus: str,
    url: str,
    site: str,
    node: str,
    trust: str,
    for_s: float,
    json_logs: bool,
    watchdog: str | None,
    checkpoint_s: float,
    memory_mib: float | None = None,
) -> NodeOptions:
    """The settings, as the options say. Raises ManagedDirectoryInvalid, AddressInvalid, click.UsageError."""
    if bus == "local" and (mode in ("process", "fork") or without_nodemanager):
        raise click.UsageError("--bus local is one process: it goes with mode node, and needs the NodeManager")
    if mode == "node" and without_nodemanager:
        raise click.UsageError("--mode node needs the NodeManager: leave --without-nodemanager out")
    if not managed.strip():
        raise click.UsageError("--manage: expected a directory, got an empty name")
    directory = Path(managed)
    check_managed(directory)
    return NodeOptions(
        managed=directory.resolve(),
        site=token(site, "--site"),
        node=token(node or machine_name(), "--node"),
        bus=bus,
        url="" if bus == "local" else url,
        mode=mode or "",
        nodemanager=not without_nodemanager,
        for_s=for_s,
        json_logs=json_logs,
        watchdog=checked_watchdog(directory, watchdog),
        checkpoint_s=checkpoint_s,
        memory_mib=memory_mib,
        trust=checked_trust(directory, trust, site, given_bus=bus == "local" or bool(url)),
    )


def checked_trust(managed: Path, trust: str, site: str, given_bus: bool) -> Trust | None:
    """The machine's trust directory, read and checked; None where there is none. Raises TrustInvalid, UsageError."""
    directory = Path(trust) if trust else managed / STATE_DIR / TRUST_DIR
    if given_bus:
        if trust:
            raise click.UsageError("--trust is for the nats-server that this node starts: leave --nats and --bus out")
        return None
    return read_trust(directory.resolve(), site) if trust or directory.is_dir() else None


def check_managed(directory: Path) -> None:
    """Raises ManagedDirectoryInvalid for a directory that isn't there, is empty, or can't be written to."""
    advice = f"`gridlink init {directory} --example issn` makes one that runs"
    if not directory.is_dir():
        raise ManagedDirectoryInvalid(f"{directory}: expected a managed directory, there is none: {advice}")
    if not find_bundles(directory) and not is_provisioned(directory):
        raise ManagedDirectoryInvalid(f"{directory}: expected bundles in it, it holds none: {advice}")
    try:
        (directory / STATE_DIR).mkdir(exist_ok=True)
    except OSError as error:
        raise ManagedDirectoryInvalid(f"{directory}: it must be writable for {STATE_DIR}: {error}") from error


def guardian_command(options: NodeOptions) -> list[str]:
    """The command line of the guardian, with the files it needs written.

    Raises ServerUnreachable, and ManagedDirectoryBusy before a file is touched that another guardian uses.
    """
    lock = ManagedLock(str(options.state))
    lock.take(f"process {os.getpid()}")  # only to see that it can be had: the guardian takes it for good
    lock.close()
    (options.state / "logs").mkdir(exist_ok=True)
    server_file = ""
    if options.bus == "nats" and not options.url:
        server_file = write_server_file(options)
    else:
        write_place(options.state, None)
    settings = encode(node_settings(options)).decode()
    logs = "json" if options.json_logs else "lines"
    arguments = [str(options.state), server_file, str(options.for_s), logs, modes(options), settings]
    return [sys.executable, *GUARDIAN, str(PACKAGES), *arguments]


def modes(options: NodeOptions) -> str:
    """The modes in which bundles are to run, so far as they can be read: the guardian prepares for `fork`."""
    chosen: dict[str, Choice] = {}
    with suppress(ConfigInvalid, OSError):  # the AppManager says so, and goes on without them
        chosen = read_choices(options.state)
    policy = Policy(options.mode, options.nodemanager, options.bus == "nats", chosen=chosen)
    if (options.managed / SITE_FILE).exists():
        from gridlink.proxies.site import read_site_file  # noqa: PLC0415 - where there is one

        hosting = read_site_file(options.managed / SITE_FILE).document.hosting
        policy = structs.replace(policy, modes=hosting.modes, untrusted=hosting.untrusted)
    return " ".join(sorted({planned.mode for planned in read_plan(options.managed, policy) if not planned.refused}))


def write_server_file(options: NodeOptions) -> str:
    """Writes nats-server's configuration; returns its path, and on a second line the JetStream server's, if it may run.

    That one's file is there only where it is to run at once. Raises ServerUnreachable, ConfigInvalid, TrustInvalid.
    """
    find_program()
    directory = options.state / "nats"
    directory.mkdir(exist_ok=True)
    file = directory / "nats-server.conf"
    text, site_file, clustered = server_text(options, directory), options.managed / SITE_FILE, _clustered(options)
    plan = plan_leaf(options.managed, site_file, options.node, clustered)
    place = store_place(site_file, options.site, options.node, clustered)
    write_place(options.state, place)
    if place.store != options.node:
        write_privately(file, text)
        return str(file)
    if plan is not None:
        write_leaf_file(options.state, plan, place)
    write_privately(file, with_leaf_listener(text, place.port, place.password))
    return f"{file}\n{configuration_file(options.state)}"


def _clustered(options: NodeOptions) -> bool:
    return options.trust is not None and options.trust.cluster is not None


def server_text(options: NodeOptions, directory: Path) -> str:
    """The configuration of the node's nats-server, with a port that can be had. Raises ServerUnreachable."""
    cluster = options.trust.cluster if options.trust is not None else None
    if options.trust is not None and cluster is not None:
        check_ports(cluster)
        Routes(directory, cluster).write()
        return trusted_configuration(options.trust, cluster.port, str(directory))
    port = free_port()
    if port != STANDARD_PORT:
        click.echo(f"gridlink-node: port {STANDARD_PORT} is taken: nats-server listens on {port}", err=True)
    if options.trust is not None:
        return trusted_configuration(options.trust, port, str(directory))
    return configuration(options.site, port, str(directory))


def check_ports(cluster: ClusterFile) -> None:
    """Raises ServerUnreachable where a port that the others know is taken."""
    for port in (cluster.port, cluster.route_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((cluster.listen, port))
            except OSError as error:
                raise ServerUnreachable(
                    f"{cluster.listen}:{port} can't be opened for nats-server ({error.strerror}): end what holds it, "
                    "or give the cluster other ports"
                ) from error


def free_port() -> int:
    """The standard port if it can be had now, else one that can."""
    for port in (STANDARD_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerUnreachable(f"no port on {LOOPBACK} is free for nats-server: end what holds them")


def node_settings(options: NodeOptions) -> NodeSettings:
    """The settings of the node that hosts the AppManager and, unless left out, a NodeManager."""
    data = options.state / "data"
    config = {
        "managed": str(options.managed),
        "mode": options.mode,
        "nodemanager": options.nodemanager,
        "json_logs": options.json_logs,
        "watched": sorted(options.watchdog.get("modules", {})),
    }
    appmanager = HostSetting(
        str(PACKAGES / "appmanager"), str(data / "appmanager"), config=config, installed=True, supervises=True
    )
    nodemanager = HostSetting(
        str(PACKAGES / "nodemanager"),
        str(data / "nodemanager"),
        config={"watchdog": options.watchdog, "memory_mib": options.memory_mib},
        installed=True,
        managed_by=(f"appmanager@{options.node}",),
    )
    return NodeSettings(
        site=options.site,
        node=options.node,
        machine=machine_name(),
        url=options.url,
        hosts=(nodemanager, appmanager) if options.nodemanager else (appmanager,),
        log=LogSetting(str(options.state / "logs" / f"{options.node}.log"), options.json_logs),
        node_file=str(options.state / "node.json"),
        trust=searching(options.trust),
        site_file=checked_site_file(options.managed),
        states=str(options.state / "states"),
        accepted=str(options.state / "accepted"),
        checkpoint_s=options.checkpoint_s,
    )


def checked_site_file(managed: Path) -> str:
    """The site file of a managed directory, read and checked; empty where there is none. Raises ConfigInvalid."""
    path = managed / SITE_FILE
    if not path.exists():
        return ""
    from gridlink.proxies.site import read_site_file  # noqa: PLC0415 - where there is one

    read_site_file(path)
    return str(path)


def checked_watchdog(managed: Path, mode: str | None) -> dict[str, Any]:
    """The watchdog's settings in a managed directory, read and checked; `mode` counts more. Raises ConfigInvalid."""
    path = managed / WATCHDOG_FILE
    document = read_json(path) if path.exists() else {}
    typed(document, WatchdogSetting, str(path)).check(str(path))
    return {**document, "mode": mode} if mode else dict(document)


def searching(trust: Trust | None) -> str:
    """The trust directory, where the node is to look for the site's other servers by multicast; else empty."""
    multicast = trust is not None and trust.cluster is not None and trust.cluster.discovery is not None
    return str(trust.directory) if trust is not None and multicast else ""


def become_guardian(options: NodeOptions) -> NoReturn:
    """Replaces this process by the guardian: the process id stays, what was imported goes."""
    arguments = guardian_command(options)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # kept until the guardian can end in order
    os.execv(arguments[0], arguments)


def main() -> None:
    """The entry point."""
    command()
