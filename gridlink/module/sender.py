"""What a module sends through: `self.bus`. Encodes and checks payloads, and takes them through the module's proxies."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from gridlink import address
from gridlink.bus.protocol import Bus, Prefer
from gridlink.codec import codec, encode
from gridlink.errors import ConnectionLost, NotDeclared, PayloadInvalid, ReplyInvalid, Stopping
from gridlink.message import Call, Message, check_timeout
from gridlink.module.counters import Counters
from gridlink.module.retry import Retry
from gridlink.proxies import Proxy, Tracing, outgoing

R = TypeVar("R")
DEFAULT_TIMEOUT_S = 5.0
YIELD_EVERY = 32  # messages: who publishes in a loop, and awaits nothing else, doesn't keep the event loop


class Sender:
    """Sends for one instance, `source` (`name@node`). `published`: what it may publish; None allows anything.

    `kept`: what takes events of a topic that is durable for the instance; `retry`: whether a request is tried again.
    """

    def __init__(
        self,
        bus: Bus,
        source: str,
        proxies: Sequence[Proxy] = (),
        published: Mapping[str, Mapping[str, Any]] | None = None,
        counters: Counters | None = None,
        kept: Callable[[str], Call | None] | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._bus, self._source, self._published = bus, source, published
        self._proxies = tuple(proxy for proxy in proxies if not isinstance(proxy, Tracing))
        tracings = [proxy for proxy in proxies if isinstance(proxy, Tracing)]
        self._stamp = tracings[0].stamp if tracings else str  # a message is made with its trace: altering it costs more
        self._counters = counters or Counters()
        self._kept, self._retry = kept, retry
        self._prefix = secrets.token_hex(4)
        self._ids = itertools.count(1)
        self._send = outgoing(self._proxies, bus.send)
        self._requests: dict[tuple[Any, Prefer], tuple[Call, Callable[[bytes], Any]]] = {}
        self._events: dict[tuple[str, str], tuple[Call, Callable[[Any], bytes]]] = {}

    @overload
    async def request(
        self,
        to: str,
        type: str,
        payload: Any = None,
        *,
        reply: type[R],
        timeout_s: float = ...,
        prefer: Prefer = ...,
        id: str = ...,
    ) -> R: ...
    @overload
    async def request(
        self,
        to: str,
        type: str,
        payload: Any = None,
        *,
        reply: Any = ...,
        timeout_s: float = ...,
        prefer: Prefer = ...,
        id: str = ...,
    ) -> Any: ...
    async def request(
        self,
        to: str,
        type: str,
        payload: Any = None,
        *,
        reply: Any = Any,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        prefer: Prefer = "local",
        id: str = "",
    ) -> Any:
        """Asks a role (`storage`) or an instance (`storage@node`) and returns its reply as a `reply`.

        `timeout_s` is real time; `prefer` is for a role with members elsewhere; `id` names the message, which
        has one of its own without. Raises NoSuchRole or NoSuchInstance at
        once, RequestTimeout, ConnectionLost, PayloadInvalid, ReplyInvalid, and whatever the handler refused with;
        TimeoutInvalid for a `timeout_s` that has no end.
        Cancelling it doesn't cancel the handler.
        """
        known = self._requests.get((reply, prefer))
        if known is None:
            known = self._requests[reply, prefer] = self._asking(prefer), codec(reply).decode
        call, decode = known
        check_timeout(timeout_s)
        message = self._message(address.receiver(to), type, encode(payload), time.monotonic() + timeout_s, id)
        retry = self._retry
        if retry is not None and retry.elsewhere(message.address, type):
            body = await retry.twice(call, self._asking("elsewhere"), message, self._stamp)
        else:
            try:
                body = await call(message)
            except (Stopping, ConnectionLost) as error:
                if retry is None:
                    raise
                body = await retry.again(call, error, message, self._stamp)
        try:
            return decode(body)
        except PayloadInvalid as error:
            raise ReplyInvalid(f"the reply to {type} is not what was asked for: {error}") from error

    def _asking(self, prefer: Prefer) -> Call:
        send = self._bus.request if prefer == "local" else partial(self._bus.request, prefer=prefer)
        return outgoing(self._proxies, send)

    async def send(self, to: str, type: str, payload: Any = None) -> None:
        """Sends a request whose reply nobody waits for. Raises NoSuchRole or NoSuchInstance."""
        await self._send(self._message(address.receiver(to), type, encode(payload), None))

    async def publish(self, topic: str, type: str, payload: Any = None) -> None:
        """Publishes an event to all who subscribe. Raises NotDeclared for one that `publishes` doesn't name.

        On a topic that the manifest lists as `durable` it returns when the event is stored, or raises NotStored.
        """
        known = self._events.get((topic, type))
        if known is None:
            kept = self._kept(topic) if self._kept is not None else None
            checked = codec(self._declared(topic, type)).encode  # what a receiver would refuse is refused here
            known = self._events[topic, type] = outgoing(self._proxies, kept or self._bus.publish), checked
        call, encoded = known
        await call(self._message(address.topic(topic), type, encoded(payload), None))
        if self._counters.sent % YIELD_EVERY == 0:
            await asyncio.sleep(0)

    def _declared(self, topic: str, type: str) -> Any:
        if self._published is None:
            return Any
        events = self._published.get(topic, {})
        if type not in events:
            known = "; ".join(f"{t}: {', '.join(e)}" for t, e in self._published.items()) or "nothing"
            raise NotDeclared(
                f"{self._source} publishes {type!r} on {topic!r}, and declares {known}: add "
                f"Topic({topic!r}, {type}=…) to the class's `publishes`"
            )
        return events[type]

    def _message(self, to: address.Address, type: str, body: bytes, deadline_s: float | None, id: str = "") -> Message:
        self._counters.sent += 1
        return Message(
            address=to,
            type=address.token(type, "type"),
            payload=body,
            source=self._source,
            id=id or f"{self._prefix}{next(self._ids):x}",
            deadline_s=deadline_s,
            trace=self._stamp(),
            wants_reply=deadline_s is not None,
        )
