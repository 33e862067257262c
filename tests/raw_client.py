"""A client of a nats-server that writes what it is given, because a library would refuse what is malformed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from gridlink.tasks import Tasks

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"x","version":"1"}\r\n'


class Client:
    """A connection on which anything may be written; it is made anew where the nats-server has had enough."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._tasks = Tasks("junk")
        self._writer: asyncio.StreamWriter
        self._pong = asyncio.Event()
        self.refused: Counter[str] = Counter()  # what the server said, and how often it cut us off

    async def connect(self) -> None:
        """Connects, with headers."""
        reader, self._writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._writer.write(CONNECT)
        self._tasks.spawn(self._read(reader, self._writer), name="read")

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                elif line.startswith(b"-ERR"):
                    self.refused[line.decode("utf-8", "replace").strip()] += 1
                elif line.startswith(b"PONG"):
                    self._pong.set()
        writer.close()
        self.refused["connection closed"] += 1
        await self.connect()
        self._pong.set()

    async def send(self, command: bytes) -> None:
        """Writes a message; it may be lost where the server has just closed the connection."""
        with contextlib.suppress(OSError):
            self._writer.write(command)
            await self._writer.drain()

    async def settled(self) -> None:
        """Returns when the server has taken in what was written."""
        self._pong.clear()
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(20):
            await self._pong.wait()

    async def aclose(self) -> None:
        """Ends the connection."""
        await self._tasks.aclose()
        self._writer.close()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """A Client that is connected."""
    one = Client(url)
    await one.connect()
    try:
        yield one
    finally:
        await one.aclose()
