"""What a module sends through: `self.bus`. Encodes and checks payloads, and takes them through the module's proxies."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from gridlink import address
from gridlink.bus.protocol import Bus, Prefer
from gridlink.errors import NotDeclared
from gridlink.message import Call, Message
from gridlink.module.counters import Counters
from gridlink.proxies import Proxy, outgoing, validate_event, validate_request

R = TypeVar("R")
DEFAULT_TIMEOUT_S = 5.0


class Sender:
    """Sends for one instance, `source` (`name@node`). `published`: what it may publish; None allows anything."""

    def __init__(
        self,
        bus: Bus,
        source: str,
        proxies: Sequence[Proxy] = (),
        published: Mapping[str, Mapping[str, Any]] | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._bus, self._source, self._proxies, self._published = bus, source, tuple(proxies), published
        self._counters = counters or Counters()
        self._prefix = secrets.token_hex(4)
        self._ids = itertools.count(1)
        self._send = validate_request(Any, outgoing(self._proxies, bus.send))
        self._requests: dict[tuple[Any, Prefer], Call] = {}
        self._events: dict[tuple[str, str], Call] = {}

    @overload
    async def request(
        self, to: str, type: str, payload: Any = None, *, reply: type[R], timeout_s: float = ..., prefer: Prefer = ...
    ) -> R: ...
    @overload
    async def request(
        self, to: str, type: str, payload: Any = None, *, reply: Any = ..., timeout_s: float = ..., prefer: Prefer = ...
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
    ) -> Any:
        """Asks a role (`storage`) or an instance (`storage@node`) and returns its reply as a `reply`.

        `timeout_s` is real time; `prefer` is for a role with members elsewhere. Raises NoSuchRole or NoSuchInstance at
        once, RequestTimeout, ConnectionLost, PayloadInvalid, ReplyInvalid, and whatever the handler refused with.
        Cancelling it doesn't cancel the handler.
        """
        call = self._requests.get((reply, prefer))
        if call is None:
            send = self._bus.request if prefer == "local" else partial(self._bus.request, prefer=prefer)
            call = self._requests[reply, prefer] = validate_request(reply, outgoing(self._proxies, send))
        return await call(self._message(address.receiver(to), type, payload, time.monotonic() + timeout_s))

    async def send(self, to: str, type: str, payload: Any = None) -> None:
        """Sends a request whose reply nobody waits for. Raises NoSuchRole or NoSuchInstance."""
        await self._send(self._message(address.receiver(to), type, payload, None))

    async def publish(self, topic: str, type: str, payload: Any = None) -> None:
        """Publishes an event to all who subscribe. Raises NotDeclared for one that `publishes` doesn't name."""
        call = self._events.get((topic, type))
        if call is None:
            call = validate_event(self._declared(topic, type), outgoing(self._proxies, self._bus.publish))
            self._events[topic, type] = call
        await call(self._message(address.topic(topic), type, payload, None))

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

    def _message(self, to: address.Address, type: str, payload: Any, deadline_s: float | None) -> Message:
        self._counters.sent += 1
        return Message(
            address=to,
            type=address.token(type, "type"),
            payload=payload,
            source=self._source,
            id=f"{self._prefix}{next(self._ids):x}",
            deadline_s=deadline_s,
            wants_reply=deadline_s is not None,
        )
