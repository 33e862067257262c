"""Limits: messages and bytes a second for each sender, and the size of a payload. Token buckets; nothing waits.

Kept where a message is sent, so that the sender is told at once, and again where it arrives, for a sender that doesn't
keep them itself. The receiver allows a second's worth more: on their way messages may have caught up with each other.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from gridlink.address import readable
from gridlink.errors import ConfigInvalid, LimitExceeded, PayloadTooLarge
from gridlink.message import Call, Message
from gridlink.proxies.around import Around
from gridlink.proxies.chain import Proxy
from gridlink.proxies.scope import Coverage

Rate = Annotated[float, msgspec.Meta(gt=0)]
_LATE_S = 1.0  # how much a receiver allows for messages that catch up with each other
_STRANGERS = ""  # they share one bucket: names are anybody's to invent


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """At least one limit. `burst_s`: for how many seconds' worth at once a sender may save up."""

    messages_per_s: Rate | None = None
    bytes_per_s: Rate | None = None
    max_payload_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None
    burst_s: Rate = 1.0


class Bucket:
    """So much a second on average, and at most `capacity` at once. Starts full."""

    __slots__ = ("_at_s", "_capacity", "_left", "_rate")

    def __init__(self, rate: float, burst_s: float, now_s: float) -> None:
        self._rate, self._capacity = rate, max(rate * burst_s, 1.0)
        self._left, self._at_s = self._capacity, now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until `amount` may be taken; 0 where it may now. More than fits may be taken from a full bucket."""
        self._left = min(self._capacity, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return max(0.0, (min(amount, self._capacity) - self._left) / self._rate)

    def take(self, amount: float) -> None:
        """Takes it; what is taken beyond the bottom has to be earned before the next."""
        self._left -= amount


class Meter:
    """Messages and bytes of one sender."""

    __slots__ = ("_buckets", "_settings")

    def __init__(self, settings: LimitsSettings, burst_s: float, now_s: float) -> None:
        self._settings = settings
        rates = {"messages_per_s": settings.messages_per_s, "bytes_per_s": settings.bytes_per_s}
        self._buckets = {name: Bucket(rate, burst_s, now_s) for name, rate in rates.items() if rate is not None}

    def exceeded(self, size_bytes: int, now_s: float) -> tuple[str, float] | None:
        """Takes a message in; returns instead which limit it exceeds and for how many seconds."""
        amounts = {"messages_per_s": 1, "bytes_per_s": size_bytes}
        for name, bucket in self._buckets.items():
            if (wait_s := bucket.wait_s(amounts[name], now_s)) > 0:
                return name, wait_s
        for name, bucket in self._buckets.items():
            bucket.take(amounts[name])
        return None


class Limits(Proxy):
    """Turns away what is too much or too large."""

    settings_type = LimitsSettings

    @classmethod
    def prepare(cls, settings: LimitsSettings, directory: Path, where: str) -> LimitsSettings:
        """Raises ConfigInvalid where nothing is limited."""
        if settings.messages_per_s is settings.bytes_per_s is settings.max_payload_bytes is None:
            raise ConfigInvalid(f"{where}: expected messages_per_s, bytes_per_s or max_payload_bytes, got none of them")
        return settings

    def __init__(self, settings: LimitsSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now = settings, now
        self._own = Meter(settings, settings.burst_s, now())
        self._senders: dict[str, Meter] = {}
        self._around: Around

    def attach(self, around: Around, coverage: Coverage) -> None:
        """See Proxy."""
        self._around = around

    def outgoing(self, call: Call) -> Call:
        """Refuses the sender at once."""

        def limited_out(message: Message) -> Awaitable[Any]:
            self._check(message, self._own)
            return call(message)

        return limited_out

    def incoming(self, call: Call) -> Call:
        """Refuses what a process sent that doesn't keep the limits itself."""

        def limited_in(message: Message) -> Awaitable[Any]:
            try:
                self._check(message, self._meter(message.source))
            except (LimitExceeded, PayloadTooLarge):
                self._around.refused()
                raise
            return call(message)

        return limited_in

    def _meter(self, source: str) -> Meter:
        known = self._senders.get(source)
        if known is not None:
            return known
        if not self._around.knows(source):
            return self._senders.setdefault(_STRANGERS, self._new())
        self._senders = {name: meter for name, meter in self._senders.items() if self._around.knows(name) or not name}
        return self._senders.setdefault(source, self._new())

    def _new(self) -> Meter:
        return Meter(self._settings, self._settings.burst_s + _LATE_S, self._now())

    def _check(self, message: Message, meter: Meter) -> None:
        settings, size = self._settings, len(message.payload)
        if settings.max_payload_bytes is not None and size > settings.max_payload_bytes:
            raise PayloadTooLarge(
                f"{readable(message.address)} {message.type}: this site allows {settings.max_payload_bytes} bytes of "
                f"payload, got {size}: split it",
                size_bytes=size,
                limit_bytes=settings.max_payload_bytes,
            )
        exceeded = meter.exceeded(size, self._now())
        if exceeded is not None:
            limit, wait_s = exceeded
            allowed = settings.messages_per_s if limit == "messages_per_s" else settings.bytes_per_s
            raise LimitExceeded(
                f"{readable(message.address)} {message.type}: {message.source or 'a program without a name'} is over "
                f"its {limit} of {allowed:g}: send less, or again in {wait_s:.3f} s",
                source=message.source,
                limit=limit,
                allowed=allowed or 0.0,
                retry_after_s=wait_s,
            )
