"""A node as an operating system process: makes the loop, joins the site, hosts what its settings name, ends in order.

It ends on SIGTERM or SIGINT, and when the guardian at the other end of its lifeline is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gridlink.bus.local import LocalBus
from gridlink.bus.protocol import Bus
from gridlink.codec import dumps
from gridlink.config import credentials, remove_temporaries, write_atomically
from gridlink.errors import GridlinkError, ModuleInvalid, NameTaken, ServerUnreachable, StartFailed, TrustInvalid
from gridlink.module.module import HostSpec
from gridlink.module.warrants import Warrants
from gridlink.node.bundle import load_alone, load_installed, read_bundle
from gridlink.node.checkpoints import Keeper, States
from gridlink.node.forked import end_copies
from gridlink.node.lifeline import FAILURE, READY, RELOAD, STARTING, Ending, Lifeline
from gridlink.node.logs import set_up
from gridlink.node.loop import Escapes, run_loop
from gridlink.node.loop_errors import tell
from gridlink.node.node import Node
from gridlink.node.settings import HostSetting, NodeFile, NodeSettings
from gridlink.tasks import Tasks

if TYPE_CHECKING:
    from gridlink.proxies.site import SiteFile

log = logging.getLogger("gridlink.node")

# Of a client's environment, what names files; secrets themselves are not handed on.
CREDENTIALS = frozenset(
    {"NATS_NKEY", "NATS_CA", "NATS_TLS_NAME", "NATS_INBOX_PREFIX", "NATS_CREDS", "NATS_CERT", "NATS_KEY"}
)
LEAVE_S = 1.0  # of the time to end: for leaving the site and closing the bus
STATUS_FAILED, STATUS_INVALID = 1, 2  # of a process: worth another try, not before something is changed


def run(settings: NodeSettings, say_fd: int, held_fd: int, keys: str = "") -> int:
    """Runs a node until it is told to end; returns the process's exit status. The pipes are those to the guardian.

    `keys`: see gridlink.module.warrants; none for a node that no guardian started.
    """
    set_up(settings.log)
    _name_process(settings)
    escapes = Escapes()
    try:
        return run_loop(_run(settings, say_fd, held_fd, keys, escapes), escapes)
    except GridlinkError as error:
        log.error("%s", error)  # noqa: TRY400 - an operator's mistake: the sentence says it all
        return 1


def _name_process(settings: NodeSettings) -> None:
    """The name in `ps` and `top`, of at most 15 characters: the module's where it is alone."""
    alone = len(settings.hosts) == 1 and not settings.hosts[0].supervises
    name = Path(settings.hosts[0].directory).name if alone else "gridlink-node"
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii", errors="replace") as file:
        file.write(name[:15])


async def open_bus(site: str, node: str, url: str) -> Bus:
    """A bus for the node: over NATS where there is a URL, else in this process alone. Raises ServerUnreachable."""
    if not url:
        return LocalBus(node, site)
    from gridlink.bus.nats import NatsBus  # noqa: PLC0415 - 3.6 MiB that a node on the local bus needn't have

    bus = NatsBus(site, node)
    await bus.connect(url, credentials())
    return bus


async def _run(settings: NodeSettings, say_fd: int, held_fd: int, keys: str, escapes: Escapes) -> int:
    ending = Ending()
    end_copies(asyncio.get_running_loop())
    asyncio.get_running_loop().set_exception_handler(tell)
    async with Lifeline(say_fd, held_fd, ending, partial(_replaced, settings.node_file)) as lifeline:
        tasks = Tasks("process")
        tasks.spawn(lifeline.beat(), name="heartbeat")
        try:
            return await _run_node(settings, lifeline, ending, keys, escapes)
        except (StartFailed, ModuleInvalid, NameTaken, ServerUnreachable, TrustInvalid) as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it all; a traceback went before it
            lifeline.say(FAILURE, str(error))
            return STATUS_INVALID if isinstance(error, ModuleInvalid) else STATUS_FAILED
        finally:
            await tasks.aclose()


def _site_file(settings: NodeSettings) -> SiteFile | None:
    if not settings.site_file:
        return None
    from gridlink.proxies.site import read_site_file  # noqa: PLC0415 - where a site has proxies, and nowhere else

    return read_site_file(Path(settings.site_file))


def _mesh(settings: NodeSettings, lifeline: Lifeline, bus: Bus) -> contextlib.AbstractAsyncContextManager[Any]:
    """The search for the site's other servers, where a cluster is configured; it costs nothing where none is."""
    if not settings.trust:
        return contextlib.nullcontext()
    from gridlink.bus.mesh import Mesh  # noqa: PLC0415 - for clusters alone
    from gridlink.bus.nats import NatsBus  # noqa: PLC0415 - it is loaded where there is a cluster
    from gridlink.bus.trust import read_trust  # noqa: PLC0415

    trust = read_trust(Path(settings.trust), settings.site)
    linked = bus.linked if isinstance(bus, NatsBus) else lambda _: None
    return Mesh(trust, Path(settings.node_file).parent / "nats", lambda: lifeline.say(RELOAD), linked)


async def _run_node(settings: NodeSettings, lifeline: Lifeline, ending: Ending, keys: str, escapes: Escapes) -> int:
    site_file = _site_file(settings)
    bus = await open_bus(settings.site, settings.node, settings.url)
    node = Node(bus, settings.machine, site_file=site_file)
    node.blocked = settings.blocked
    node.on_step = lambda name: lifeline.say(STARTING, name.partition("@")[0])
    node.tell_guardian = lifeline.say
    node.accepted = settings.accepted
    node.warrants = Warrants(settings.node, keys)
    escapes.instances = node.instances
    async with node, _mesh(settings, lifeline, bus):
        tasks = Tasks("process")
        if settings.states:
            node.states, node.checkpoint_s = settings.states, settings.checkpoint_s
            node.keeper = Keeper(States(Path(settings.states)), settings.checkpoint_s)
            if settings.checkpoint_s:
                tasks.spawn(node.keeper.run(node.instances.values()), name="checkpoints")
        starting = tasks.spawn(_host_all(node, settings.hosts), name="hosting", awaited=True)
        over = tasks.spawn(ending.wait(), name="ending")
        try:
            await asyncio.wait({starting, over}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                lifeline.say(READY)
                await over
        finally:
            await tasks.aclose()
            for setting in reversed(settings.hosts):  # a manager ends what it manages, in order
                name = read_bundle(Path(setting.directory)).manifest.name
                await node.release(f"{name}@{node.node}", ending.left_s() - LEAVE_S)
    return 0


async def _host_all(node: Node, hosts: tuple[HostSetting, ...]) -> None:
    for setting in hosts:
        bundle = read_bundle(Path(setting.directory))
        load = partial(load_installed, bundle) if setting.installed else partial(load_alone, bundle)
        await node.host(
            HostSpec(
                manifest=bundle.manifest,
                load=load,
                directory=bundle.directory,
                data_dir=Path(setting.data_dir),
                mode=setting.mode,
                config=setting.config,
                managed_by=setting.managed_by,
                note=setting.note,
                follows=setting.follows,
                start_within_s=setting.start_within_s,
                hung=setting.hung,
            )
        )


class Given(Struct, frozen=True):
    """What the guardian knows only when it forks the node."""

    url: str  # of the nats-server that it started; empty where it started none
    pids: dict[str, int]
    control_fds: tuple[int, int]
    blocked: dict[str, str]
    moved: dict[str, str]  # modules that are to run in mode fork, and why
    offences: list[dict[str, Any]]  # that the AppManager is to tell of; see appmanager.offences
    outside: list[dict[str, Any]]  # of modules that ended other NodeManagers' processes: they run in mode fork
    keys: str  # by which its orders are known; see gridlink.module.warrants


def run_child(document: str, say_fd: int, held_fd: int, keys: str) -> int:
    """Runs a bundle's node in a process that a warm guardian has forked; returns its exit status."""
    return run(msgspec.json.decode(document, type=NodeSettings), say_fd, held_fd, keys)


def run_forked(document: str, given: Given, say_fd: int, held_fd: int) -> int:
    """Runs the node in a process that the guardian has forked; returns its exit status."""
    settings = msgspec.json.decode(document, type=NodeSettings)
    hosts = tuple(_told(host, given) for host in settings.hosts)
    settings = replace(settings, hosts=hosts, url=given.url or settings.url, blocked=given.blocked)
    needed = {name: value for name, value in os.environ.items() if name in CREDENTIALS}
    file = NodeFile(settings.site, settings.node, settings.url, {**given.pids, "node": os.getpid()}, needed)
    _write(settings.node_file, file)
    return run(settings, say_fd, held_fd, given.keys)


def _told(host: HostSetting, given: Given) -> HostSetting:
    """The setting of the AppManager, with what only the guardian knows; of another manager, as it is."""
    if not host.supervises:
        return host
    more = {name: getattr(given, name) for name in ("control_fds", "moved", "offences", "outside")}
    return replace(host, config={**(host.config or {}), **more})


def _write(path: str, file: NodeFile) -> None:
    try:
        remove_temporaries(Path(path))  # a killed node's
        write_atomically(Path(path), dumps(file, indent=True) + b"\n")
    except OSError as error:  # a full disk must not keep the modules from running
        sys.stderr.write(f"gridlink-node: {path} can't be written, commands won't find the node: {error}\n")


def _replaced(path: str, name: str, pid: int) -> None:
    """The guardian has replaced one of its processes: who looks into the node file finds the new one."""
    file = msgspec.json.decode(Path(path).read_bytes(), type=NodeFile)
    _write(path, replace(file, pids={**file.pids, name: pid}))


def _read_keys(fds: list[str]) -> str:
    """The keys that a guardian has left in a pipe, if it has."""
    if not fds:
        return ""
    with open(int(fds[0]), encoding="ascii") as pipe:
        return pipe.read()


def main() -> None:
    """`python -m gridlink.node SETTINGS SAY_FD HELD_FD [KEYS_FD]`: an interpreter of its own for one bundle."""
    document, say_fd, held_fd, *keys_fd = sys.argv[1:]
    status = run(msgspec.json.decode(document, type=NodeSettings), int(say_fd), int(held_fd), _read_keys(keys_fd))
    sys.stderr.flush()
    os._exit(status)  # a module's stuck thread must not keep the process
