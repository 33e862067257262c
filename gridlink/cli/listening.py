"""What a tap hears of a site: events as they cross NATS, requests and replies as the nodes that serve them show them.

The nodes are asked again each second, and told when it ends; one that isn't asked any more forgets it by itself.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from gridlink.address import tap_seen, tap_wishes
from gridlink.bus.mirror import Seen, Wish, seen_in
from gridlink.bus.nats import NatsBus
from gridlink.errors import AccessDenied
from gridlink.message import Message
from gridlink.tasks import Tasks

RENEW_S = 1.0


@dataclass(frozen=True, slots=True)
class Passed:
    """One message: what it says, when it was heard here (Unix seconds), and the node that has shown it."""

    seen: Seen
    time_s: float
    node: str = ""  # empty for an event


Heard = Callable[[Passed], None]
LeftOut = Callable[[int], None]


@asynccontextmanager
async def listening(bus: NatsBus, wish: Wish, heard: Heard, left_out: LeftOut) -> AsyncIterator[None]:
    """Hands the messages that are wished for to `heard`, and to `left_out` how many were too many for a node.

    Raises AccessDenied for credentials that may not tap.
    """
    wish = msgspec.structs.replace(wish, tap=secrets.token_hex(4))

    def event(message: Message) -> None:
        if wish.wants(message.address, message.type, message.source):
            heard(Passed(_seen(message), time.time()))

    def batch(body: bytes) -> None:
        found = seen_in(body)
        if found is None:
            return
        now_s = time.time()
        for seen in found.seen:  # a node shows each of its taps what any of them wants
            if wish.wants(seen.address, seen.type, seen.source):
                heard(Passed(seen, now_s, found.node))
        if found.left_out:
            left_out(found.left_out)

    subject, body = tap_wishes(bus.site), msgspec.json.encode(wish)
    try:
        await bus.listen(tap_seen(bus.site, "*"), batch)
        await bus.overhear(event)
        await bus.say_surely(subject, body)
    except AccessDenied as error:
        raise AccessDenied(
            f"these credentials may not tap site {bus.site} ({error.to}): use the operator's (docs/cluster.md)",
            to=error.to,
        ) from error
    tasks = Tasks("tap")
    tasks.spawn(_renewed(bus, subject, body), name="renewal")
    try:
        yield
    finally:
        await tasks.aclose()
        bus.say(subject, msgspec.json.encode(msgspec.structs.replace(wish, over=True)))


async def _renewed(bus: NatsBus, subject: str, body: bytes) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        bus.say(subject, body)


def _seen(message: Message) -> Seen:
    """An event, as a node would show it."""
    return Seen(
        kind="event",
        address=message.address,
        type=message.type,
        source=message.source,
        id=message.id,
        trace=message.trace,
        payload=message.payload.decode("utf-8", "replace"),
        size_bytes=len(message.payload),
        waits=False,
    )
