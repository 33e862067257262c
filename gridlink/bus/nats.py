"""The bus over NATS: one connection a node, and the in-process bus for the node's own share. Alone in importing nats.

`no_echo`: what a node sends never comes back to it, so that nobody gets a message twice. Requests share one reply
subscription with counter tokens. While the connection is down, requests fail at once, and nothing is kept for later.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gridlink import lean
from gridlink.address import ROOT, Address, parse, readable, subject
from gridlink.bus import wire
from gridlink.bus.authentication import authentication, unreachable
from gridlink.bus.deadlines import Deadlines
from gridlink.bus.failover import Attempts, Failover
from gridlink.bus.local import LocalBus, Registration, nobody
from gridlink.bus.protocol import Prefer, Receiver
from gridlink.config import Credentials
from gridlink.errors import Closed, ConnectionLost, GridlinkError, NoSuchRole, Stopping
from gridlink.message import Message
from gridlink.tasks import Tasks

with lean.ImportingNats():
    import nats.errors
    from nats.aio.client import Client

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription

log = logging.getLogger("gridlink.bus")

PENDING_BYTES = 4 * 1024 * 1024  # a subscription's waiting messages; nats-py would take 128 MiB
PENDING_MESSAGES = 8192
DRAIN_S = 2.0


class _Client(Failover, Client):
    """nats-py's client, with headers parsed by `wire`: its own way loads JetStream at the first status it meets.

    And with flushes that hold: nats-py writes a ping past what waits to be sent, so that its pong says nothing of that,
    drops the connection at the pong of a flush that was cancelled, and lets one hang whose connection broke.
    """

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        return wire.parse_headers(headers) if headers else None

    async def flush(self, timeout: int = 10) -> None:
        """Returns when the server has all that was sent before. Raises nats.errors.Error, at once when disconnected."""
        if not self.is_connected:
            raise nats.errors.ConnectionClosedError
        await super().flush(timeout)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    def fail_flushes(self) -> None:
        """Ends the flushes that wait: the connection is gone, and their pongs with it."""
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(nats.errors.ConnectionClosedError())
                pong.exception()  # retrieved: those of the keep-alive pings are nobody's


class NatsBus:
    """Keeps gridlink.bus.Bus for one node of a site. Made by `connect`; `aclose` ends the connection."""

    def __init__(self, site: str, node: str) -> None:
        self.site, self.node = site, node
        self.url = ""
        self.local = LocalBus(node, site)
        self.lost_events = 0
        self.on_reconnect: Callable[[], None] | None = None
        self.own_share: Callable[[Address], float] = lambda _: 1.0  # which part of an address's members is ours
        self._up = asyncio.Event()
        self._client = _Client()
        self._client.on_topology = self._topology_changed
        self._inbox = f"_INBOX.{node}.{secrets.token_hex(6)}"
        self._tokens = itertools.count(1)
        self._in_flight: dict[str, tuple[asyncio.Future[bytes], Address]] = {}
        self._deadlines = Deadlines()
        self._subscriptions: dict[str, NatsSubscription] = {}
        self._subscribing = asyncio.Lock()
        self._closed = False
        self._tasks = Tasks(f"bus of {node}")
        self._closing: asyncio.Task[None] | None = None

    @property
    def max_payload_bytes(self) -> int:
        """The server's limit for a payload."""
        return self.local.max_payload_bytes

    async def connect(self, url: str, credentials: Credentials | None = None, within_s: float = 5.0) -> None:
        """Connects to the server(s) at `url` (comma-separated), trying for `within_s`. Raises ServerUnreachable."""
        self.url = url
        attempts = Attempts(within_s)
        try:
            async with asyncio.timeout(within_s):
                await self._client.connect(
                    servers=[part.strip() for part in url.split(",")],
                    name=f"gridlink {self.node}",
                    no_echo=True,
                    error_cb=attempts.note,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    connect_timeout=2,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]
                    ping_interval=1,
                    max_outstanding_pings=2,
                    pending_size=-1,
                    **authentication(credentials or Credentials()),
                )
        except (TimeoutError, OSError, nats.errors.Error, ValueError) as error:
            await self._close_client()
            cause = attempts.last or error
            wanted = bool(self._client._server_info.get("auth_required"))
            raise unreachable(url, within_s, _reason(cause), wanted) from error
        attempts.succeeded()
        self.local.max_payload_bytes = self._client.max_payload
        await self._client.subscribe(f"{self._inbox}.*", cb=self._replied, **_LIMITS)
        await self._client.flush()
        self._up.set()

    async def connected(self) -> None:
        """See gridlink.bus.Bus."""
        await self._up.wait()

    async def request(self, message: Message, prefer: Prefer = "local") -> bytes:
        """See gridlink.bus.Bus."""
        here = self.local.has_member(message.address)
        if here and (prefer == "local" or random.random() < self.own_share(message.address)):
            return await self.local.request(message)
        try:
            return await self._request(message)
        except NoSuchRole:
            if not here:
                raise
            return await self.local.request(message)

    async def _request(self, message: Message) -> bytes:
        self.local.check(message)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        token = f"{next(self._tokens):x}"
        self._in_flight[token] = (future, message.address)
        if message.deadline_s is not None:
            what = f"{readable(message.address)} {message.type}"
            self._deadlines.watch(future, message.deadline_s, what)
        try:
            await self._publish(message, reply=f"{self._inbox}.{token}")
            return await future
        finally:
            self._in_flight.pop(token, None)
            self._deadlines.forget(future)

    async def send(self, message: Message) -> None:
        """See gridlink.bus.Bus. The server's 503 for a role without members arrives within a round trip."""
        if self.local.has_member(message.address):
            return await self.local.send(message)
        self.local.check(message)
        token = f"{next(self._tokens):x}"
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._in_flight[token] = (future, message.address)
        try:
            await self._publish(message, reply=f"{self._inbox}.{token}")
            await self._client.flush()
            if future.done():
                future.result()
        except nats.errors.Error as error:
            raise _lost(error) from error
        finally:
            self._in_flight.pop(token, None)
            if future.done():
                future.exception()

    async def publish(self, message: Message) -> None:
        """See gridlink.bus.Bus. While disconnected, own listeners are served and the rest is counted as lost."""
        self.local.check(message)
        self.local.deliver(message)
        try:
            await self._publish(message)
        except ConnectionLost:
            self.lost_events += 1

    async def serve(self, address: Address, receiver: Receiver) -> NatsRegistration:
        """See gridlink.bus.Bus. A role is a queue group of its own name."""
        registration = await self.local.serve(address, receiver)
        queue = address if address.startswith("role.") else ""
        return await self._registered(address, registration, queue, self._requested)

    async def subscribe(self, address: Address, type: str, receiver: Receiver) -> NatsRegistration:
        """See gridlink.bus.Bus."""
        registration = await self.local.subscribe(address, type, receiver)
        return await self._registered(address, registration, "", self._published)

    async def _registered(
        self, address: Address, local: Registration, queue: str, callback: Callable[[Msg], Any]
    ) -> NatsRegistration:
        """The registration, once it is in effect on the server; undone where that fails or is cancelled."""
        registration = NatsRegistration(self, address, local)
        try:
            await self._ensure(address, queue, callback)
        except BaseException:
            if local.close():
                await self.forget(address, drained=False)
            raise
        return registration

    async def answer_all(self, subject_name: str, answers: Callable[[str], Iterable[bytes]]) -> None:
        """Answers requests on a subject that isn't Gridlink's own, each with any number of replies, from now on."""

        async def asked(received: Msg) -> None:
            if received.reply:
                for body in answers(received.subject):
                    await self._answer(received.reply)(body)

        await self._client.subscribe(subject_name, cb=asked, **_LIMITS)
        await self._client.flush()

    async def overhear(self, heard: Callable[[Message], None]) -> None:
        """Hands every message of the site that crosses NATS to `heard`, from now on; who gets it stays as it is."""

        async def passing(received: Msg) -> None:
            _, address, type_name = parse(received.subject)
            wants_reply = bool(received.reply)
            heard(wire.message_of(address, type_name, received.data, received.headers, wants_reply))

        await self._client.subscribe(f"{ROOT}.{self.site}.>", cb=passing, **_LIMITS)
        await self._client.flush()

    async def forget(self, address: Address, *, drained: bool = True) -> None:
        """Ends the node's NATS subscription for an address; if `drained`, what comes until then is still delivered."""
        subscription = self._subscriptions.pop(subject(self.site, address, "*"), None)
        if subscription is not None and not self._closed:
            with contextlib.suppress(nats.errors.Error, TimeoutError):  # the connection is gone, and the subscription
                async with asyncio.timeout(DRAIN_S):
                    await (subscription.drain() if drained else subscription.unsubscribe())  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """See gridlink.bus.Bus. What was published is flushed first; cancelling it doesn't keep the connection open."""
        if self._closing is None:
            self._closed = True
            self._fail_in_flight(Closed("the bus was closed"))
            await self.local.aclose()
            self._closing = self._tasks.spawn(self._close_client(), name="close")
        await asyncio.shield(self._closing)

    async def _close_client(self) -> None:
        if self._client._flush_queue is None:
            return  # it never began to connect
        if self._client.is_connected:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                await self._client.flush(timeout=2)
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.close()

    async def _ensure(self, address: Address, queue: str, callback: Callable[[Msg], Any]) -> None:
        name = subject(self.site, address, "*")
        async with self._subscribing:
            if name in self._subscriptions:
                return
            if not self._client.is_connected:
                raise _lost(None)
            try:
                self._subscriptions[name] = await self._client.subscribe(name, queue=queue, cb=callback, **_LIMITS)
                await self._client.flush()
            except (nats.errors.Error, TimeoutError) as error:
                raise _lost(error) from error

    async def _publish(self, message: Message, reply: str = "") -> None:
        name = subject(self.site, message.address, message.type)
        try:
            await self._client.publish(name, message.payload, reply, wire.headers_of(message))
        except nats.errors.Error as error:
            raise _lost(error) from error

    async def _requested(self, received: Msg) -> None:
        try:
            _, address, type_name = parse(received.subject)
            wants_reply = bool(received.reply)
            message = wire.message_of(address, type_name, received.data, received.headers, wants_reply)
            answer = self._answer(received.reply)
            if self.local.has_member(address):
                refused = self.local.member(address).take_request(message, answer)
            else:
                refused = Stopping(f"{readable(address)} has just left node {self.node}: try again")
        except GridlinkError as error:
            refused, answer = error, self._answer(received.reply)
        if refused is not None:
            await answer(refused)

    async def _published(self, received: Msg) -> None:
        _, address, type_name = parse(received.subject)
        self.local.deliver(wire.message_of(address, type_name, received.data, received.headers, False))

    def _answer(self, reply: str) -> Callable[[bytes | GridlinkError], Any]:
        async def answer(result: bytes | GridlinkError) -> None:
            if not reply:
                return
            result = self.local.checked_reply(result)
            headers, body = wire.error_reply(result) if isinstance(result, GridlinkError) else (None, result)
            try:
                await self._client.publish(reply, body, headers=headers)
            except nats.errors.Error as error:
                log.warning("a reply was lost with the connection: %r", error)

        return answer

    async def _replied(self, received: Msg) -> None:
        waiting = self._in_flight.get(received.subject.rpartition(".")[2])
        if waiting is None or waiting[0].done():
            return
        future, address = waiting
        headers = received.headers
        if not headers:
            future.set_result(received.data)
        elif headers.get("Status") == wire.NO_RESPONDERS:
            future.set_exception(nobody(address))
        elif (error := wire.error_of(headers, received.data)) is not None:
            future.set_exception(error)
        else:
            future.set_result(received.data)

    def _fail_in_flight(self, error: GridlinkError) -> None:
        for future, _ in self._in_flight.values():
            if not future.done():
                future.set_exception(error)

    async def _disconnected(self) -> None:
        # What nats-py has buffered would be sent after the reconnect, long after its sender was told that it failed.
        was_up = self._up.is_set()
        self._up.clear()
        self._client._pending.clear()
        self._client._pending_data_size = 0
        self._client.fail_flushes()
        if was_up and not self._closed:
            log.warning("the connection to %s is lost; trying again every 0.1 s", self.url)
        self._fail_in_flight(_lost(None))

    def _topology_changed(self) -> None:
        """A server has come or gone: those behind it are to hear of us, and we of them, before the next heartbeat."""
        if self._up.is_set() and not self._closed and self.on_reconnect is not None:
            self.on_reconnect()

    async def _reconnected(self) -> None:
        log.info("connected again to %s", self._client.connected_url and self._client.connected_url.netloc)
        self._up.set()
        if self.on_reconnect is not None:
            self.on_reconnect()


class NatsRegistration:
    """A receiver's registration with a NatsBus."""

    def __init__(self, bus: NatsBus, address: Address, local: Registration) -> None:
        self._bus, self._address, self._local = bus, address, local

    async def aclose(self) -> None:
        """Ends the registration; may be called twice. The receiver takes what comes until the server sends no more."""
        if self._local.is_last:
            await self._bus.forget(self._address)
        self._local.close()


_LIMITS: dict[str, Any] = {
    "pending_msgs_limit": PENDING_MESSAGES,
    "pending_bytes_limit": PENDING_BYTES,
}


def _lost(error: BaseException | None) -> ConnectionLost:
    reason = f" ({_reason(error)})" if error is not None else ""
    return ConnectionLost(f"the connection to the bus is down{reason}; it is being restored: try again")


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
