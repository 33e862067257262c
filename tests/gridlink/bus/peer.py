"""A TCP peer that speaks as much NATS as a bus needs to connect: it does what no nats-server can be made to do."""

from __future__ import annotations

import asyncio
import socket

from gridlink.tasks import Tasks

INFO = b'INFO {"server_id":"peer","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}\r\n'
WINDOW_BYTES = 4096


class Peer:
    """Answers pings, takes the rest, and keeps every connection that it was ever given. An `async with`."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self.ends = 0  # how many connections it ends as soon as they are made
        self.deaf = False  # once set it reads no more from any connection that there is
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)  # what is accepted inherits it
        self._listening.setblocking(False)
        self._tasks = Tasks("peer")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self._listening.getsockname()[1]}"

    async def __aenter__(self) -> Peer:
        self._tasks.spawn(self._accept(), name="accept")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.aclose()
        for one in (self._listening, *self.connections):
            one.close()

    async def say(self, connection: socket.socket, line: bytes) -> None:
        """Sends a line of the protocol."""
        await asyncio.get_running_loop().sock_sendall(connection, line + b"\r\n")

    async def rest(self, connection: socket.socket) -> tuple[bytes, bool]:
        """What still comes on a connection until its end, and whether that was an abort (RST) and no FIN."""
        found = bytearray()
        while True:
            try:
                data = await asyncio.get_running_loop().sock_recv(connection, 65536)
            except ConnectionResetError:
                return bytes(found), True
            if not data:
                return bytes(found), False
            found += data

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listening)
            connection.setblocking(False)
            self.connections.append(connection)
            self._tasks.spawn(self._serve(connection), name="serve")

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, INFO)
        while True:
            data = await loop.sock_recv(connection, 65536)
            for _ in range(data.count(b"PING\r\n")):
                await self.say(connection, b"PONG")
                if self.ends:
                    self.ends -= 1
                    connection.shutdown(socket.SHUT_RDWR)
                    return
            if not data or self.deaf:
                return
