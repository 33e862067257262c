"""What a test sees of a transfer from beside: each chunk that is delivered to the board, and a line that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from gridlink.bus.durable.jetstream import JetStream
from gridlink.tasks import Tasks

SMALLEST_BYTES = 1024  # what is smaller is no chunk


class Delivered:
    """The sizes of all chunks that a store has sent to one node, as somebody else on the bus sees them."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return sum(self.sizes)

    def _saw(self, subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> None:
        if len(body) >= SMALLEST_BYTES:
            self.sizes.append(len(body))


@asynccontextmanager
async def delivered_to(node: str, beside: JetStream) -> AsyncIterator[Delivered]:
    """Watches as long as the `with` lasts."""
    found = Delivered()
    end = await beside.raw.listen(f"_INBOX.{node}.>", found._saw)
    yield found
    await end()


class Line:
    """A TCP relay to a server: it can be cut, and mended again."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks = Tasks("line")
        self._port = 0

    @property
    def url(self) -> str:
        """Where to connect to."""
        return f"nats://127.0.0.1:{self._port}"

    async def mend(self) -> None:
        """Lets connections through."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Ends all connections, and refuses new ones."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()

    async def aclose(self) -> None:
        """Ends it."""
        await self.cut()
        await self._tasks.aclose()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._open |= {writer, far_writer}
        self._tasks.spawn(self._carry(reader, far_writer), name="out")
        self._tasks.spawn(self._carry(far_reader, writer), name="in")

    async def _carry(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        try:
            while body := await source.read(65536):
                to.write(body)
                await to.drain()
        except ConnectionError:
            pass  # it was cut
        finally:
            to.transport.abort()
            self._open.discard(to)
