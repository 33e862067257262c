"""Limits: so many messages and bytes a second for each sender, in a time that the test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.errors import ConfigInvalid, LimitExceeded, PayloadTooLarge
from gridlink.message import Call
from gridlink.proxies.limits import Bucket, Limits, LimitsSettings
from gridlink.proxies.scope import Coverage, Scope
from tests.gridlink.proxies.place import Heard, Place, asked, event


class Clock:
    """Time that stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def limits(place: Place, clock: Clock, **settings: Any) -> Limits:
    """The proxy at a place."""
    proxy = Limits(Limits.prepare(LimitsSettings(**settings), Path(), "here"), clock)
    around = place.around()
    proxy.attach(around, Coverage(Scope(), around))
    return proxy


async def passed(call: Call, source: str = "guard@a", payload: bytes = b"{}", tries: int = 100) -> int:
    """How many of so many messages pass."""
    found = 0
    for _ in range(tries):
        try:
            await call(asked(source=source, payload=payload))
        except LimitExceeded:
            continue
        found += 1
    return found


async def test_a_sender_may_send_so_many_a_second() -> None:
    """A burst of a second's worth, then at the rate."""
    clock = Clock()
    call = limits(Place("guard@a"), clock, messages_per_s=10).outgoing(Heard())
    assert await passed(call) == 10
    assert await passed(call) == 0
    clock.now_s += 0.5
    assert await passed(call) == 5
    clock.now_s += 100
    assert await passed(call) == 10


async def test_the_error_says_which_limit_and_when_to_come_back() -> None:
    """Typed fields, for a program to act on."""
    clock = Clock()
    call = limits(Place("guard@a"), clock, messages_per_s=2).outgoing(Heard())
    await passed(call)
    with pytest.raises(LimitExceeded, match="guard@a is over its messages_per_s of 2") as caught:
        await call(asked())
    error = caught.value
    assert (error.code, error.limit, error.allowed, error.source) == (429, "messages_per_s", 2, "guard@a")
    clock.now_s += error.retry_after_s
    await call(asked())


async def test_bytes_are_limited_and_a_large_payload_has_to_be_earned() -> None:
    """One that is larger than a burst passes once there is a full one, and then nothing for long."""
    clock = Clock()
    call = limits(Place("guard@a"), clock, bytes_per_s=100).outgoing(Heard())
    assert await passed(call, payload=bytes(50)) == 2
    clock.now_s += 1
    await call(asked(payload=bytes(300)))
    clock.now_s += 1.9
    with pytest.raises(LimitExceeded, match="bytes_per_s"):
        await call(asked(payload=b"1"))
    clock.now_s += 0.2
    await call(asked(payload=b"1"))


async def test_a_message_over_one_limit_takes_nothing_from_the_other() -> None:
    """What was refused wasn't sent."""
    clock = Clock()
    call = limits(Place("guard@a"), clock, messages_per_s=2, bytes_per_s=10).outgoing(Heard())
    await call(asked(payload=bytes(10)))
    assert await passed(call, payload=bytes(10)) == 0
    assert await passed(call, payload=b"") == 1  # the second of two messages is still there


async def test_each_sender_has_its_own_measure_at_the_receiver() -> None:
    """One that floods doesn't silence another."""
    clock, place = Clock(), Place(known={"guard@a", "meter@a"})
    call = limits(place, clock, messages_per_s=10).incoming(Heard())
    assert await passed(call, "guard@a") == 20  # a second's worth more: messages may have caught up
    assert await passed(call, "meter@a") == 20
    assert place.refused == 160


async def test_invented_senders_share_one_measure() -> None:
    """A program that takes a new name each time gets no more, and fills no memory."""
    clock = Clock()
    proxy = limits(Place(known={"guard@a"}), clock, messages_per_s=10)
    call = proxy.incoming(Heard())
    assert sum([await passed(call, f"x{number}@z", tries=1) for number in range(1000)]) == 20
    assert await passed(call, "guard@a") == 20
    assert len(proxy._senders) == 2


async def test_senders_that_are_gone_are_forgotten() -> None:
    """A node that restarts for years must not grow."""
    place, clock = Place(known={"a@a"}), Clock()
    proxy = limits(place, clock, messages_per_s=10)
    call = proxy.incoming(Heard())
    await call(asked(source="a@a"))
    place.known = {"b@a"}
    await call(asked(source="b@a"))
    assert list(proxy._senders) == ["b@a"]


async def test_a_payload_over_the_size_is_refused_on_both_sides() -> None:
    """With the sizes, for the author."""
    place, clock = Place(), Clock()
    proxy = limits(place, clock, max_payload_bytes=10)
    for call, refused in ((proxy.outgoing(Heard()), 0), (proxy.incoming(Heard()), 1)):
        await call(event(payload=bytes(10)))
        with pytest.raises(PayloadTooLarge, match="allows 10 bytes of payload, got 11") as caught:
            await call(event(payload=bytes(11)))
        assert caught.value.details == {"size_bytes": 11, "limit_bytes": 10}
        assert place.refused == refused


def test_limits_without_a_limit_are_refused() -> None:
    """It would only look as if something were limited."""
    with pytest.raises(ConfigInvalid, match="here: expected messages_per_s, bytes_per_s or max_payload_bytes"):
        Limits.prepare(LimitsSettings(), Path(), "here")


@given(st.floats(0.1, 1000), st.floats(0.1, 10), st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=60))
def test_no_pattern_of_sending_beats_the_rate(rate: float, burst_s: float, tries: list[tuple[float, float]]) -> None:
    """Over any time no more passes than the rate times the time, a burst, and the one message that was in debt."""
    now_s = 0.0
    bucket = Bucket(rate, burst_s, now_s)
    taken = largest = 0.0
    for pause_s, amount in tries:
        now_s += pause_s
        if bucket.wait_s(amount, now_s) <= 0:
            bucket.take(amount)
            taken += amount
            largest = max(largest, amount)
    assert taken <= rate * now_s + max(rate * burst_s, 1.0) + largest + 1e-6
