"""A connection to a nats-server, ended by an abort: at once, with nothing sent later, and with no socket left open.

A part of the NATS client (`gridlink.bus.client`) that changes what nats-py's transport does; it imports nothing of it.
"""

from __future__ import annotations

import asyncio
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Any as Base  # nats-py's TcpTransport, which one file alone imports
else:
    Base = object


class Abortive(Base):  # type: ignore[misc]
    """Comes before nats-py's TcpTransport among the bases of a class. One at a time has a connection: the last."""

    _io_reader: Any
    _io_writer: Any

    def __bool__(self) -> bool:
        return True  # nats-py makes another in its place, of its own class, where it is false

    async def connect(self, *arguments: Any, **options: Any) -> None:
        """Connects; what it had before is ended. (nats-py forgets the connection that failed in its greeting.)"""
        self.close()
        await super().connect(*arguments, **options)
        # What the kernel hasn't sent when the connection is closed is dropped, instead of sent when the link is back.
        self._io_writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))

    async def connect_tls(self, uri: Any, ssl_context: SSLContext, buffer_size: int, connect_timeout: float) -> None:
        """Goes on with TLS; `uri` is the server's name, or has it. Raises OSError, TimeoutError."""
        loop, name = asyncio.get_running_loop(), uri if isinstance(uri, str) else uri.hostname
        reader = asyncio.StreamReader(buffer_size)
        protocol = asyncio.StreamReaderProtocol(reader)
        async with asyncio.timeout(connect_timeout):
            transport = await loop.start_tls(self._io_writer.transport, protocol, ssl_context, server_hostname=name)
        if transport is None:  # nats-py would make a writer of it
            raise ConnectionAbortedError("the connection was ended in the TLS handshake")
        protocol._over_ssl = True  # type: ignore[attr-defined] # else asyncio warns when a server closes
        self._io_reader, self._io_writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def close(self) -> None:
        """Ends the connection without a farewell: TLS waits 30 s for an answer to it, which a dead peer never gives."""
        for writer in (self._io_writer, self._bare_io_writer):  # under TLS these are two
            if writer is not None and writer.transport is not None:
                writer.transport.abort()

    async def wait_closed(self) -> None:
        """Gives the loop the turn in which it closes an aborted socket.

        (A stream whose TLS handshake didn't end is never told of its own end: nats-py would wait for it for ever.)
        """
        await asyncio.sleep(0)
