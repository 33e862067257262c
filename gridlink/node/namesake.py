"""A node doesn't start under a name that a living node of its site has: each would hide the other's instances.

The registry can't tell: a node that was killed is in it for some seconds more. So the namesake itself is asked; a dead
one doesn't answer, and NATS says so (503) as soon as its connection is closed.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from msgspec import Struct

from gridlink import address
from gridlink.bus.protocol import Bus
from gridlink.codec import codec
from gridlink.errors import (
    AccessDenied,
    ConnectionLost,
    GridlinkError,
    NameTaken,
    NoSuchInstance,
    RequestTimeout,
    Stopping,
)
from gridlink.message import Message

log = logging.getLogger("gridlink.node")

TRIES, ANSWER_S = 4, 0.35
"""A living node answers within a millisecond. Past all tries it is hung, or silent behind a broken line."""

WHO = "who"


class Who(Struct, frozen=True):
    """What a node says of its process; `refuses`: why it refuses requests to its instances, empty where it doesn't."""

    boot: str
    machine: str
    pid: int
    up_s: float
    refuses: str = ""


async def refuse_namesake(bus: Bus) -> None:
    """Returns if no living node has the bus's name, at once where nobody serves it. Raises NameTaken, ConnectionLost.

    A namesake that takes the question and says nothing for TRIES times ANSWER_S doesn't keep this node from starting.
    """
    for _ in range(TRIES):
        try:
            reply = await bus.request(_question(bus.node))
        except NoSuchInstance:
            return
        except (RequestTimeout, Stopping):
            continue
        except ConnectionLost:
            raise
        except AccessDenied as error:
            log.warning("whether another node is called %s can't be asked: %s", bus.node, error)
            return
        except GridlinkError as error:  # of another version: it lives, and can't say more
            raise NameTaken(_text(bus.node, "")) from error
        who = codec(Who).decode(reply)
        where = f", on machine {who.machine}, process {who.pid}, for {_duration(who.up_s)}"
        raise NameTaken(_text(bus.node, where), node=bus.node, machine=who.machine, pid=who.pid, up_s=who.up_s)
    log.warning("a node called %s was there and doesn't answer: it is taken for dead", bus.node)


def _question(node: str) -> Message:
    return Message(
        address=address.instance(f"{address.NODE}@{node}"),
        type=WHO,
        payload=codec(Any).encode(None),
        source=f"{address.NODE}@{node}",
        deadline_s=time.monotonic() + ANSWER_S,
        wants_reply=True,
    )


def _text(node: str, where: str) -> str:
    return (
        f"a node called {node} runs at this site{where}: give this one another name with --node NAME, or end that one"
    )


def _duration(seconds: float) -> str:
    """Roughly how long, in the largest unit that fits."""
    for unit, size_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
