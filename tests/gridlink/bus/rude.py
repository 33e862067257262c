"""A TCP server that lets a client down at any point of a connection's making, and never becomes a nats-server."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable

from gridlink.tasks import Tasks
from tests.gridlink.bus.peer import INFO

HANDSHAKES: dict[str, tuple[bytes, ...]] = {
    "silent": (),
    "half an INFO": (INFO[:20],),
    "INFO and no PONG": (INFO,),
    "no NATS": (b"HTTP/1.1 400 Bad Request\r\n",),
    "an INFO of nothing": (b"INFO\r\n",),
    "a line without end": (b"x" * 200_000,),
    "an error": (INFO, b"-ERR 'Authorization Violation'\r\n"),
    "INFO and PONG": (INFO, b"PONG\r\n"),
    "TLS that never comes": (INFO.replace(b"{", b'{"tls_required":true,'),),
    "TLS that is none": (INFO.replace(b"{", b'{"tls_required":true,'), b"x" * 100),
}
"""What it says of its own accord."""


def _abort(connection: socket.socket) -> None:
    """Ends with an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


ENDS: dict[str, Callable[[socket.socket], None]] = {
    "stays": lambda connection: None,
    "closes": lambda connection: connection.shutdown(socket.SHUT_RDWR),
    "aborts": _abort,
}
"""What it does then."""


class Rude:
    """Says `handshake` to each connection, and ends it so; None: any. An `async with`."""

    def __init__(self, handshake: str | None = None, end: str | None = None, port: int = 0, seed: int = 0) -> None:
        self.met = 0  # connections so far
        self._handshake, self._end = handshake, end
        self._chance = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.setblocking(False)
        self._connections: list[socket.socket] = []
        self._tasks = Tasks("rude")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self._listening.getsockname()[1]}"

    async def __aenter__(self) -> Rude:
        asyncio.get_running_loop().add_reader(self._listening, self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._listening)
        await self._tasks.aclose()
        for one in (self._listening, *self._connections):
            one.close()

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        connection.setblocking(False)
        self._connections.append(connection)
        self.met += 1
        handshake = HANDSHAKES[self._handshake or self._chance.choice(list(HANDSHAKES))]
        self._tasks.spawn(self._meet(connection, handshake), name="meet")

    async def _meet(self, connection: socket.socket, handshake: tuple[bytes, ...]) -> None:
        end = ENDS[self._end or self._chance.choice(list(ENDS))]
        try:
            for line in handshake:
                await asyncio.get_running_loop().sock_sendall(connection, line)
                await asyncio.sleep(self._chance.random() * 0.01)  # so that a close meets it at any point
            end(connection)
        except OSError:
            return  # the client was first
