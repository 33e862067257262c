"""The listener and its connections: on loopback alone, limited in number, ended at close in bounded time."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from dashboard_interface.config import loopback_address
from dashboard_interface.connection import Answering, Connection, Limits, shrink_buffers
from dashboard_interface.sse import Hub
from gridlink.tasks import Tasks

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\nCache-Control: no-store\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b"
)
_FULL_BODY = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,'
    b'"detail":"Expected fewer connections; came one too many.","expected":"fewer connections",'
    b'"came":"one too many","do":"close one, or raise max_connections in config.json"}'
)


def bind(host: str, port: int) -> tuple[socket.socket, bool]:
    """A listening socket on loopback and whether `port` was taken, so that a free one was chosen instead.

    Raises ValueError for a host that is not loopback, OSError where nothing can be bound. The caller closes.
    """
    address = loopback_address(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return _listen(family, address, port), False
    except OSError as error:
        if error.errno != errno.EADDRINUSE or port == 0:
            raise
        return _listen(family, address, 0), True


def _listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    # asyncio switches Nagle off for sockets made with IPPROTO_TCP alone; with it an answer takes 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shrink_buffers(sock)  # accepted connections inherit it
        sock.bind((address, port))
        sock.listen(64)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class HttpServer:
    """Serves `door` and the streams of `hub` on a bound socket, which it closes.

    Use `start` and `aclose`; closing twice is fine. Beyond `max_connections` a client gets 503 and is closed.
    """

    def __init__(self, sock: socket.socket, door: Answering, hub: Hub, limits: Limits, *, max_connections: int) -> None:
        self.refused = 0
        self._sock = sock
        self._make: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Connection] = lambda reader, writer: (
            Connection(reader, writer, door, hub, limits)
        )
        self._hub = hub
        self._limits = limits
        self._max_connections = max_connections
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._ended_requests = 0
        self._tasks = Tasks("dashboard_interface http")
        self._listener: asyncio.Server | None = None
        self._log = logging.getLogger("dashboard_interface.http")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on."""
        host, port = self._sock.getsockname()[:2]
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    @property
    def requests(self) -> int:
        """Whole requests that came in since the start."""
        return self._ended_requests + sum(each.requests for each in self._open)

    async def start(self) -> None:
        """Accepts from now on."""
        limit = self._limits.max_header_bytes
        self._listener = await asyncio.start_server(self._accept, sock=self._sock, limit=limit)

    async def aclose(self, grace_s: float = 2.0) -> None:
        """Closes the listener, ends the streams, gives requests in work `grace_s` to finish, drops all."""
        if self._listener is not None:
            self._listener.close()
        self._sock.close()
        self._hub.close()
        for connection, task in self._open.items():
            connection.last()
            if not connection.busy:
                task.cancel()
        await self._tasks.wait(grace_s)
        await self._tasks.aclose(grace_s=1.0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._max_connections:
            self.refused += 1
            writer.write(_FULL % (len(_FULL_BODY), _FULL_BODY))
            writer.close()
            return
        writer.transport.set_write_buffer_limits(high=0)  # drained: all of it is in the kernel's hands
        connection = self._make(reader, writer)
        self._open[connection] = self._tasks.spawn(self._serve(connection), name="connection")

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.serve()
        finally:
            del self._open[connection]
            self._ended_requests += connection.requests
