"""Finds the other servers of a site: sends and hears beacons, and adds what it learns to the server's routes.

A known one that is heard again and has no route is dialled at once: by itself the server would try after up to three
seconds (it dials for one, waits for one, and begins anew a second after a route broke).

It runs in the node's process, where a cluster is configured, and nowhere else. An address is added and remembered in
the server's routes file; a beacon that stays away removes nothing, because a removed route is a cut connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from gridlink.bus.beacon import Beacon, opened, sealed
from gridlink.bus.cluster import ROUTES_FILE, routes_text
from gridlink.bus.links import Links, host_of
from gridlink.bus.trust import BEACON_KEY, ClusterFile, Discovery, Trust
from gridlink.codec import loads
from gridlink.config import write_atomically
from gridlink.errors import GridlinkError, TrustInvalid
from gridlink.tasks import Tasks

log = logging.getLogger("gridlink.mesh")

BEACON_S = 2.0
SEEK_S = 0.4  # between beacons while a known server has no route
MAX_ROUTES = 64  # a machine whose address changes adds one each time; the oldest learnt ones go


class Routes:
    """The addresses in a server's routes file, given ones and learnt ones."""

    def __init__(self, directory: Path, cluster: ClusterFile) -> None:
        self.file = directory / ROUTES_FILE
        self._own = f"{cluster.host}:{cluster.route_port}"
        self._given = [route for route in cluster.routes if route != self._own]
        known = _remembered(self.file)
        learnt = [route for route in known if route not in self._given and route != self._own]
        self.all = [*self._given, *learnt]
        self._spelled = {route: spelled for route, spelled in known.items() if route in self.all}

    def write(self) -> None:
        """Writes the file, as the server reads it."""
        write_atomically(self.file, routes_text(self._spelled.get(route, route) for route in self.all).encode())

    def spell_anew(self, route: str) -> None:
        """Writes a known address in another way: to a server that reads its routes again it is a new one, to dial."""
        number = int(self._spelled.get(route, route).partition("/")[2] or 0)
        self._spelled[route] = f"{route}/{number % 9 + 1}"
        self.write()

    def add(self, route: str) -> bool:
        """Adds an address and writes the file; returns whether it was new."""
        if route in self.all or route == self._own:
            return False
        if len(self.all) >= MAX_ROUTES:
            del self.all[len(self._given)]
        self.all.append(route)
        self.write()
        return True


def _remembered(file: Path) -> dict[str, str]:
    """The addresses in the file, and how each is spelled there: `host:port`, or `host:port/1`."""
    try:
        found = loads(file.read_text().partition(":")[2])
    except (OSError, UnicodeDecodeError, GridlinkError):  # it is written anew
        return {}
    spelled = [str(route).removeprefix("nats-route://") for route in found] if isinstance(found, list) else []
    return {route.partition("/")[0]: route for route in spelled}


class Mesh(asyncio.DatagramProtocol):
    """Sends this machine's beacon and hears the others'. `reload` makes the server read its routes again.

    `linked`: the hosts to which the server of that name has a route; None where that isn't known. An `async with`.
    A network that isn't there yet is waited for.
    """

    def __init__(
        self,
        trust: Trust,
        directory: Path,
        reload: Callable[[], None],
        linked: Callable[[str], frozenset[str] | None] = lambda _: None,
    ) -> None:
        if trust.cluster is None or trust.cluster.discovery is None:
            raise TrustInvalid(f"{trust.directory}: expected a cluster with discovery by multicast")
        self._cluster, self._discovery = trust.cluster, trust.cluster.discovery
        self._key = Path(trust.path(BEACON_KEY)).read_bytes()
        own = Beacon(self._cluster.site, self._cluster.machine, f"{self._cluster.host}:{self._cluster.route_port}")
        self._datagram = sealed(own, self._key)
        self._routes = Routes(directory, self._cluster)
        self._reload = reload
        self._server = f"{self._cluster.site}-{self._cluster.machine}"
        self._linked = linked
        self._links = Links()
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks = Tasks("mesh")
        self._said = ""

    async def __aenter__(self) -> Mesh:
        self._tasks.spawn(self._run(), name="beacon")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.aclose()
        self._close()

    async def _run(self) -> None:
        while True:
            try:
                if self._transport is None:
                    await self._open()
                self._send()
            except OSError as error:
                self._failed(error)
            await self._pause()

    async def _pause(self) -> None:
        """Until the next beacon."""
        until_s = time.monotonic() + BEACON_S
        while (now_s := time.monotonic()) < until_s:
            await asyncio.sleep(min(SEEK_S, until_s - now_s))
            self._links.look(self._linked(self._server), time.monotonic())
            if self._links.lacks(map(host_of, self._routes.all), time.monotonic()):
                return

    async def _open(self) -> None:
        listening = listening_socket(self._discovery, self._cluster.host)
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=listening)
        except BaseException:
            listening.close()
            raise
        self._said = ""
        log.info("looking for the site's other servers at %s:%d", self._discovery.group, self._discovery.port)

    def _send(self) -> None:
        if self._transport is not None:
            self._transport.sendto(self._datagram, (self._discovery.group, self._discovery.port))

    def _failed(self, error: OSError) -> None:
        self._close()
        if str(error) != self._said:
            self._said = str(error)
            log.warning(
                "no beacon can be sent to %s:%d (%s): trying again every %g s; where multicast is off, init the "
                "cluster with --routes",
                self._discovery.group, self._discovery.port, error, BEACON_S,
            )  # fmt: skip

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def error_received(self, error: Exception) -> None:
        """The network is gone: the socket is made anew, with what interfaces there are then."""
        if isinstance(error, OSError):
            self._failed(error)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        """Takes a beacon in; whatever else arrives is dropped."""
        beacon = opened(data, self._key)
        if beacon is None or beacon.site != self._cluster.site or beacon.machine not in self._cluster.users:
            log.debug("a datagram of %s is no beacon of this site", sender)
            return
        if beacon.machine == self._cluster.machine:
            return
        if self._routes.add(beacon.route):
            log.info("the server of %s was found at %s", beacon.machine, beacon.route)
            self._reload()
            self._send()  # it may not know us yet
            return
        now_s = time.monotonic()
        self._links.look(self._linked(self._server), now_s)
        if self._links.is_due(host_of(beacon.route), now_s):
            if self._cluster.machine < beacon.machine:  # two that dial each other at once may both hang up
                log.info("the server of %s is heard again: it is dialled", beacon.machine)
                self._routes.spell_anew(beacon.route)
                self._reload()
            else:
                self._send()  # that it hears us now, and dials


def listening_socket(discovery: Discovery, host: str) -> socket.socket:
    """A socket that hears and sends to the group on one interface. Raises OSError where there is none (yet)."""
    request = struct.pack("4s4si", socket.inet_aton(discovery.group), *_interface(discovery.interface, host))
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((discovery.group, discovery.port))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)  # several servers on one machine
    except BaseException:
        made.close()
        raise
    return made


def _interface(interface: str, host: str) -> tuple[bytes, int]:
    """Address and index for ip_mreqn: of the named interface, else of the one that has our own address."""
    if interface and not _is_address(interface):
        return bytes(4), socket.if_nametoindex(interface)
    for address in (interface, host):
        if _is_address(address):
            return socket.inet_aton(address), 0
    return bytes(4), 0


def _is_address(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True
