"""Shows taps what a node's instances are asked and answer, also what never crosses NATS. Loaded when a tap asks for it.

A tap says each second what it wants; a node forgets it after LEASE_S. What is shown is what the bus carries: a sealed
payload stays sealed. What comes too fast for MAX_WAITING is counted and left out: no message ever waits for a tap.
Bounds are of JSON as it is sent, where a control character takes six bytes: nats-server drops who sends it too much.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from gridlink.address import Address
from gridlink.bus.protocol import Answer, Receiver
from gridlink.bus.wire import error_reply
from gridlink.errors import GridlinkError
from gridlink.message import Message

log = logging.getLogger("gridlink.bus")

LEASE_S = 3.5  # three renewals may be lost
BATCH_S = 0.05
MAX_TAPS = 16
MAX_WAITING, MAX_WAITING_BYTES = 1000, 256 * 1024  # of one batch
MAX_SEEN_BYTES = 64 * 1024  # of a message that is shown whole
MAX_LETTERS = 600  # of each of its names: more than an address or an instance can have
BEGINNING_BYTES = 1024  # what is shown of the payload of a message that is larger


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages a tap wants; empty parts let everything pass. `tap` tells taps apart; `over`: it ends."""

    tap: str = ""
    roles: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    over: bool = False

    def wants(self, to: Address, type: str, source: str) -> bool:
        """Whether a message is to be shown. Gridlink's own (registry, schemas) never are."""
        kind, _, name = to.partition(".")
        if kind == "registry" or name.partition(".")[2].startswith("_"):
            return False
        if (self.roles or self.topics) and name not in (self.roles if kind == "role" else self.topics):
            return False
        if self.types and type not in self.types:
            return False
        return not self.sources or source in self.sources or source.partition("@")[0] in self.sources


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, or what came back for it: `kind` is `request`, `reply` or `error`; the rest is the request's."""

    kind: str
    address: Address
    type: str
    source: str = ""
    id: str = ""
    trace: str = ""
    payload: str | None = None  # as the bus carried it
    size_bytes: int = 0  # of the whole payload
    elapsed_us: int = 0  # from the request's arrival to its reply
    waits: bool = True  # whether somebody waits for the reply
    cut: tuple[str, ...] = ()  # the fields of which only the beginning is shown


class Batch(msgspec.Struct, frozen=True):
    """What a node has seen since its last batch, and how many messages it has left out."""

    node: str
    seen: tuple[Seen, ...]
    left_out: int = 0


class Mirror:
    """The messages to one node's instances, for taps. `say` sends a batch and tells whether it could."""

    def __init__(self, node: str, say: Callable[[bytes], bool], ended: Callable[[], None]) -> None:
        self._node, self._say, self._ended = node, say, ended
        self._wishes: dict[str, tuple[Wish, float]] = {}
        self._waiting: list[msgspec.Raw] = []  # each a Seen
        self._waiting_bytes = 0
        self._left_out = 0
        self._timer: asyncio.TimerHandle | None = None

    def asked(self, body: bytes) -> None:
        """A tap's wish, or its renewal."""
        try:
            wish = msgspec.json.decode(body, type=Wish)
        except msgspec.MsgspecError as error:
            log.warning("a tap's wish is passed over: %s", error)
            self._tick()
            return
        if wish.over:
            self._wishes.pop(wish.tap, None)
        elif wish.tap in self._wishes or len(self._wishes) < MAX_TAPS:
            self._wishes[wish.tap] = wish, time.monotonic() + LEASE_S
        else:
            log.warning("a tap is passed over: %d are listening already", MAX_TAPS)
        if self._timer is None:
            self._tick()

    def before(self, receiver: Receiver) -> Receiver:
        """The receiver, with the taps looking at what it is handed."""
        return _Watched(self, receiver)

    def wants(self, message: Message) -> bool:
        """Whether a tap wants to see the message."""
        return any(wish.wants(message.address, message.type, message.source) for wish, _ in self._wishes.values())

    def saw(self, message: Message, kind: str, payload: bytes, elapsed_us: int = 0) -> None:
        """Keeps it for the next batch, or counts it."""
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._left_out += 1  # without being encoded: a flood must not cost more than that
            return
        encoded = _encoded(message, kind, payload, elapsed_us)
        if self._waiting_bytes + len(encoded) > MAX_WAITING_BYTES:
            self._left_out += 1
            return
        self._waiting_bytes += len(encoded)
        self._waiting.append(msgspec.Raw(encoded))

    def close(self) -> None:
        """Shows nothing more. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wishes.clear()

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._wishes = {tap: kept for tap, kept in self._wishes.items() if kept[1] > now_s}
        if self._waiting or self._left_out:
            self._send()
        if self._wishes:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self._tick)
        else:
            self._timer = None
            self._ended()

    def _send(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        body = msgspec.json.encode({"node": self._node, "seen": waiting, "left_out": self._left_out})
        self._left_out = 0 if self._say(body) else self._left_out + len(waiting)


def _encoded(message: Message, kind: str, payload: bytes, elapsed_us: int) -> bytes:
    """The message as a Seen in JSON, of MAX_SEEN_BYTES at most. What of it is too long is cut, and named in `cut`."""
    told = {name: getattr(message, name) for name in ("address", "type", "source", "id", "trace")}
    seen = Seen(
        kind=kind,
        **{name: text[:MAX_LETTERS] for name, text in told.items()},
        payload=payload[:MAX_SEEN_BYTES].decode("utf-8", "replace") if payload else None,
        size_bytes=len(payload),
        elapsed_us=elapsed_us,
        waits=message.wants_reply,
        cut=tuple(name for name, text in told.items() if len(text) > MAX_LETTERS),
    )
    if len(payload) <= MAX_SEEN_BYTES and len(encoded := msgspec.json.encode(seen)) <= MAX_SEEN_BYTES:
        return encoded
    beginning = payload[:BEGINNING_BYTES].decode("utf-8", "replace")
    return msgspec.json.encode(msgspec.structs.replace(seen, payload=beginning, cut=(*seen.cut, "payload")))


class _Watched:
    """A receiver, one message long."""

    __slots__ = ("_mirror", "_receiver")

    def __init__(self, mirror: Mirror, receiver: Receiver) -> None:
        self._mirror, self._receiver = mirror, receiver

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """See gridlink.bus.Receiver."""
        mirror = self._mirror
        if not mirror.wants(message):
            return self._receiver.take_request(message, answer)
        began_ns = time.perf_counter_ns()
        mirror.saw(message, "request", message.payload)

        def told(result: bytes | GridlinkError) -> None:
            elapsed_us = (time.perf_counter_ns() - began_ns) // 1000
            if isinstance(result, GridlinkError):
                mirror.saw(message, "error", _said(result), elapsed_us)
            else:
                mirror.saw(message, "reply", result, elapsed_us)
            answer(result)

        refused = self._receiver.take_request(message, told)
        if refused is not None:
            mirror.saw(message, "error", _said(refused))
        return refused

    def take_event(self, message: Message) -> None:
        """See gridlink.bus.Receiver."""
        self._receiver.take_event(message)


def _said(error: GridlinkError) -> bytes:
    """An error as its reply says it; what was sealed stays sealed."""
    return error_reply(error)[1]


def seen_in(body: bytes) -> Batch | None:
    """The batch that a node sent; None for anything else."""
    try:
        return msgspec.json.decode(body, type=Batch)
    except msgspec.MsgspecError:
        return None
