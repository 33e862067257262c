"""How the client of a bus leaves a dead server: at once, without sending anything late, and without ever giving up.

A part of the NATS client (`gridlink.bus.client`) that changes what nats-py does there; it imports nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable
from math import inf
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

SETTLE_S = 0.2  # until a server that has come knows who listens where

log = logging.getLogger("gridlink.bus")

if TYPE_CHECKING:
    from typing import Any as Base  # nats-py's Client, which one file alone imports
else:
    Base = object


class Attempts:
    """Notes a client's last error, and ends its first connect after `within_s` where asyncio.timeout fails to.

    (nats-py swallows a cancellation that finds it in certain places, and would try for ever.)
    """

    def __init__(self, within_s: float) -> None:
        self.last: Exception | None = None
        self._until_s = time.monotonic() + within_s

    async def note(self, error: Exception) -> None:
        """The client's error callback."""
        self.last = error
        log.debug("nats: %r", error)
        if time.monotonic() > self._until_s:
            raise TimeoutError(str(error)) from error

    def succeeded(self) -> None:
        """The first connect is done: from now on it may try as long as it takes."""
        self._until_s = inf


class Failover(Base):  # type: ignore[misc]
    """Comes before nats-py's Client among the bases of a class."""

    on_denied: Callable[[str], None] | None = None  # told what the credentials don't allow, in the server's words
    on_topology: Callable[[], None] | None = None  # called when the servers of the cluster have changed
    _settling: asyncio.TimerHandle | None = None

    async def _connect_to_server(self, s: Any) -> None:
        # What the kernel hasn't sent when the connection is closed is dropped, instead of sent when the link is back.
        await super()._connect_to_server(s)
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        transport, connect_tls = self._transport, type(self._transport).connect_tls

        async def secured(*arguments: Any, **options: Any) -> None:
            await connect_tls(transport, *arguments, **options)
            transport._io_writer.transport.get_protocol()._over_ssl = True  # else asyncio warns when a server closes

        transport.connect_tls = secured

    async def _attempt_reconnect(self) -> None:
        self.abort()
        await super()._attempt_reconnect()

    def abort(self) -> None:
        """Ends the connection without a farewell: TLS waits 30 s for an answer to it, which a dead peer never gives."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _process_err(self, err_msg: str) -> None:
        # nats-py closes for good at all errors but two. A node wants another server, and this one again later.
        if "permissions violation" in err_msg.lower():
            if self.on_denied is not None:
                self.on_denied(err_msg)
            await super()._process_err(err_msg)
            return
        error = ConnectionError(f"the nats-server says {err_msg.strip()}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info(info, initial_connection)
        if initial_connection or self.on_topology is None:
            return
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(SETTLE_S, self.on_topology)
