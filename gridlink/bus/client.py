"""nats-py's client as the bus uses it. Alone in importing nats.

Messages go from the parser straight to whoever listens, and out by one write an iteration of the event loop: nats-py's
queue and task a subscription, and its flusher, cost more than all the rest of a message's way. Nothing waits in
between, so nothing has to be bounded there: an inbox bounds what waits for a module.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gridlink import lean
from gridlink.bus import wire
from gridlink.bus.failover import Failover
from gridlink.bus.transport import Abortive
from gridlink.tasks import is_cancelled

with lean.ImportingNats():
    import nats.errors
    import nats.protocol.parser
    from nats.aio.client import Client as NatsClient
    from nats.aio.transport import TcpTransport

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription as Subscription  # noqa: PLC0414 - nats.py has it from here

log = logging.getLogger("gridlink.bus")

# In nats-py's own a line's end is a space, so that it reads on for sizes in a header block which begins with one: it
# waits for as many bytes as the payload is a number of, and the connection is dead until it is made anew.
nats.protocol.parser.HMSG_RE = re.compile(
    rb"\AHMSG[ \t]+([^\s]+)[ \t]+([^\s]+)[ \t]+(([^\s]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n"
)

Error = nats.errors.Error
NotConnected = nats.errors.ConnectionClosedError
TooLarge = nats.errors.MaxPayloadError

Listener = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes subject, reply subject (may be empty), payload and header block (None where there is none). Doesn't block."""

AT_ONCE_BYTES = 64 * 1024  # more than this doesn't wait for the end of the turn
BEHIND_BYTES = 1024 * 1024  # in the socket's buffer: the server reads more slowly than we write


class Transport(Abortive, TcpTransport):
    """nats-py's transport, ended as ours is."""


class Client(Failover, NatsClient):
    """nats-py's client, with its own ways in and out, headers left to `wire`, and flushes that hold.

    (nats-py writes a ping past what waits to be sent, so that its pong says nothing of that, drops the connection at
    the pong of a flush that was cancelled, and lets one hang whose connection broke. Its header parser loads JetStream
    at the first status it meets.)
    """

    def __init__(self) -> None:
        super().__init__()
        self._transport: Transport = Transport()  # type: ignore[no-untyped-call]
        self._listeners: dict[int, Listener] = {}
        self._writing = False

    async def listen(self, subject: str, listener: Listener, queue: str = "") -> Subscription:
        """Subscribes; `flush` returns when it is in effect. Ended by the subscription's `drain` or `unsubscribe`."""
        sid = self._sid + 1  # the one that `subscribe` takes, before it gives up control
        self._listeners[sid] = listener
        try:
            return await self.subscribe(subject, queue=queue)
        except BaseException:
            self._remove_sub(sid)
            raise

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._listeners.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        listener = self._listeners.get(sid)
        if listener is None:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
            return
        try:
            listener(subject, reply, data, headers)
        except Exception:  # the reader of the connection must live on
            log.exception("a message on %s was lost", subject.decode("utf-8", "replace"))

    def put(self, subject: str, reply: str, payload: bytes, headers: bytes = b"") -> None:
        """Sends a message at the end of this turn of the event loop. Raises Error while there is no connection."""
        if not self.is_connected:
            raise NotConnected
        if len(headers) + len(payload) > self._max_payload:
            raise TooLarge  # the server would end the connection
        if headers:
            line = f"HPUB {subject} {reply} {len(headers)} {len(headers) + len(payload)}\r\n"
        else:
            line = f"PUB {subject} {reply} {len(payload)}\r\n"
        command = b"".join((line.encode(), headers, payload, b"\r\n"))
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._pending_data_size > AT_ONCE_BYTES:
            self._write()  # a sender that never gives up control must meet the limit all the same
        elif not self._writing:
            self._writing = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._writing = False
        if self._pending and self.is_connected:
            self._transport.writelines(self._pending)  # type: ignore[no-untyped-call]
            self._pending = []
            self._pending_data_size = 0

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent, here and in the transport; not what the kernel has."""
        writer = self._transport._io_writer
        return self._pending_data_size + (writer.transport.get_write_buffer_size() if writer is not None else 0)

    @property
    def is_behind(self) -> bool:
        """Whether the server reads more slowly than we write: wait for `caught_up` before more."""
        return self.unsent_bytes > BEHIND_BYTES

    async def caught_up(self) -> None:
        """Returns when the server has taken most of what was written. Raises OSError when the connection breaks."""
        await self._transport.drain()  # type: ignore[no-untyped-call]

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        return wire.parse_headers(headers) if headers else None

    async def flush(self, timeout: int = 10) -> None:
        """Returns when the server has all that was sent before. Raises Error, at once when disconnected."""
        if not self.is_connected:
            raise NotConnected
        await super().flush(timeout)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def leave(self) -> None:
        """Sends what is left and closes; nothing of it is there any more then, nor comes again.

        A client that never began to connect has nothing to close. Cancelling it loses what is left.
        """
        if self._flush_queue is None:
            return
        try:
            for step in (partial(self.flush, timeout=2), self.close):
                try:
                    await step()
                except (Error, TimeoutError, OSError):  # nobody takes what is left, or answers a farewell
                    self._give_up()
                except asyncio.CancelledError:
                    if is_cancelled():
                        raise
                    self._give_up()  # nats-py has cancelled something of its own, and not our caller us
        finally:
            await self.ended()

    def _give_up(self) -> None:
        self.drop_unsent()
        self._transport.close()

    def drop_unsent(self) -> None:
        """Forgets what waits to be sent, and fails the flushes that wait: the connection is gone."""
        self._pending.clear()
        self._pending_data_size = 0
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(NotConnected())
                pong.exception()  # retrieved: those of the keep-alive pings are nobody's
