"""What a bus over NATS says and hears beside its own messages: other programs' service discovery, and taps.

A part of `gridlink.bus.nats`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

from gridlink.address import ROOT, TAP_ROOT, Address, parse, tap_seen, tap_wishes
from gridlink.bus import wire
from gridlink.bus.client import Client, Error, Listener
from gridlink.bus.denials import Denials, may_not_hear, may_not_say
from gridlink.bus.links import host_of
from gridlink.bus.local import LocalBus
from gridlink.errors import AccessDenied, ConnectionLost
from gridlink.message import Message
from gridlink.seldom import Seldom

log = logging.getLogger("gridlink.bus")

NO_INBOX = (f"{ROOT}.".encode(), f"{TAP_ROOT}.".encode(), b"$")


class Outside:
    """The base of NatsBus for subjects that aren't addresses."""

    site: str
    node: str
    local: LocalBus
    _client: Client
    _denials: Denials
    _closed: bool

    def __init__(self) -> None:
        self._misdirections = Seldom()

    def _is_misdirected(self, subject: bytes, reply: bytes) -> bool:
        """Whether a reply is to go where none belongs. Whoever may not send there would have us send it."""
        if not reply.startswith(NO_INBOX):
            return False
        if (more := self._misdirections.more(time.monotonic())) is not None:
            log.warning("a request on %r is dropped: its reply is to go to %r, no inbox%s", subject, reply, more)
        return True

    def linked(self, server: str) -> frozenset[str] | None:
        """The hosts to which the server of that name has a route; None while we are not connected to it."""
        if self._client.server_name != server or not self._client.is_connected:
            return None
        return frozenset(map(host_of, self._client.cluster_urls))

    async def answer_all(self, subject_name: str, answers: Callable[[str], Iterable[bytes]]) -> None:
        """Answers requests on a subject that isn't Gridlink's own, from now on: with any number of replies each, or one
        where the server takes no more.
        """

        def asked(subject: bytes, reply: bytes, _: bytes, __: bytes | None) -> None:
            if self._is_misdirected(subject, reply):
                return
            for body in answers(subject.decode()) if reply else ():
                self.say(reply.decode(), body)
                if self._denials.one_reply:
                    break

        await self._client.listen(subject_name, asked)
        await self._client.flush()

    async def overhear(self, heard: Callable[[Message], None]) -> None:
        """Hands every event of the site to `heard`, from now on. Raises AccessDenied.

        Requests are seen by `allow_taps`: whoever listened to them here would be taken for somebody who serves them,
        and their senders would wait for a reply instead of being told that nobody is there.
        """

        def passing(subject: bytes, _: bytes, body: bytes, headers: bytes | None) -> None:
            heard(wire.message_of(*address_of(subject), body, headers, False))

        await self._listen(f"{ROOT}.{self.site}.topic.>", passing)

    async def listen(self, subject_name: str, heard: Callable[[bytes], None]) -> None:
        """Hands what comes on a subject that isn't an address to `heard`, from now on. Raises AccessDenied."""
        await self._listen(subject_name, lambda _, __, body, ___: heard(body))

    async def _listen(self, subject_name: str, listener: Listener) -> None:
        await self._client.listen(subject_name, listener)
        await self._client.flush()
        if self._denials.denies_hearing(subject_name):
            raise may_not_hear(subject_name, self.node)

    def say(self, subject_name: str, body: bytes) -> bool:
        """Sends on a subject that isn't an address; False while the connection is down or slow, or for too much."""
        if not self._client.is_connected or self._client.is_behind or len(body) > self._client.max_payload:
            return False
        self._client.put(subject_name, "", body)
        return True

    async def say_surely(self, subject_name: str, body: bytes) -> None:
        """The same, until the server has taken it. Raises ConnectionLost, AccessDenied."""
        try:
            self._client.put(subject_name, "", body)
            await self._client.flush()
        except (Error, TimeoutError) as error:
            raise ConnectionLost(f"the connection to the bus is down ({error}): try again") from error
        if self._denials.denies(subject_name):
            raise may_not_say(subject_name, self.node)

    async def allow_taps(self) -> None:
        """See gridlink.bus.Bus."""
        with contextlib.suppress(AccessDenied):  # it is in the log, and a node works without
            await self.listen(tap_wishes(self.site), self._wished)

    def _wished(self, wish: bytes) -> None:
        if self.local.mirror is None and not self._closed:
            from gridlink.bus.mirror import Mirror  # noqa: PLC0415 - while a tap looks, and never else

            self.local.mirror = Mirror(self.node, partial(self.say, tap_seen(self.site, self.node)), self._untapped)
        if self.local.mirror is not None:
            self.local.mirror.asked(wish)

    def _untapped(self) -> None:
        self.local.mirror = None


@lru_cache(maxsize=1024)
def address_of(subject: bytes) -> tuple[Address, str]:
    """Address and type of a subject that one of our subscriptions got."""
    _, address, type_name = parse(subject.decode("utf-8", "replace"))
    return address, type_name
