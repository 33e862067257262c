"""JetStream's documents for a durable topic: its stream, a module's consumer of it, and what a delivery says. Pure.

A topic's stream takes what is published on the topic, whoever publishes it. It listens on a second subject, `store`,
which reaches nobody else: an event that is tried again must not reach the live subscribers a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gridlink.address import ROOT
from gridlink.bus.durable.settings import MIB, Kept
from gridlink.errors import AddressInvalid

ACK_WAIT_S = 5.0  # after which an event that nobody has acknowledged is delivered again
STORE_WITHIN_S = 15.0  # for which a publish is tried
DUPLICATES_S = 40.0  # for which the stream knows an event again: longer than it is tried
_NS = 1_000_000_000


def stream_name(topic: str) -> str:
    """The stream of a topic; a JetStream server has one site."""
    return f"topic-{topic}"


def topic_subject(site: str, topic: str, type: str) -> str:
    """Where an event reaches the live subscribers and the stream."""
    return f"{ROOT}.{site}.topic.{topic}.{type}"


def store_subject(site: str, topic: str, type: str) -> str:
    """Where an event reaches the stream alone, which keeps it under its topic's subject."""
    return f"{ROOT}.{site}.store.{topic}.{type}"


def stream_config(site: str, topic: str, kept: Kept) -> dict[str, Any]:
    """The stream of a topic: bounded in size, number and age, the oldest goes first."""
    live, store = topic_subject(site, topic, ">"), store_subject(site, topic, ">")
    return {
        "name": stream_name(topic),
        "description": f"the durable topic {topic} of site {site}",
        "subjects": [live, store],
        "subject_transform": {"src": store, "dest": live},
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": int(kept.max_mib * MIB),
        "max_msgs": kept.max_events,
        "max_age": int(kept.max_age_s * _NS),
        "duplicate_window": int(min(DUPLICATES_S, kept.max_age_s) * _NS),
        "num_replicas": 1,
    }


def with_id(headers: bytes, identity: str) -> bytes:
    """A header block with the id by which the stream knows an event that is sent again."""
    return headers[:-2] + f"Nats-Msg-Id: {identity}\r\n\r\n".encode()


def consumer_config(module: str, kept: Kept) -> dict[str, Any]:
    """A module's durable consumer. One event is on its way at a time: with two, a repeated one would be out of order.

    How often an event is tried is the reader's to bound (it counts and says what it gives up), not the server's, which
    would drop it without a word.
    """
    return {
        "durable_name": module,
        "name": module,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_S * _NS),
        "max_ack_pending": 1,
        "max_deliver": -1,
        "inactive_threshold": int(kept.max_age_s * _NS),  # then there is nothing left for it
        "num_replicas": 1,
    }


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as JetStream delivers it. `count`: how often by now, from 1; `sequence`: its place in the stream."""

    subject: str
    body: bytes
    headers: bytes | None
    reply: str  # where it is acknowledged
    count: int
    sequence: int


ACK_PREFIX = b"$JS.ACK."


def delivery(subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> Delivery:
    """Reads `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<count>.<sequence>.…`; AddressInvalid for another."""
    parts = reply.decode("ascii", "replace").split(".")
    first = 4 if len(parts) == 9 else 6  # the long form begins with domain and account
    try:
        count, sequence = int(parts[first]), int(parts[first + 1])
    except (IndexError, ValueError) as error:
        raise AddressInvalid(f"expected where to acknowledge an event ($JS.ACK.…), got {reply!r}") from error
    return Delivery(subject.decode("utf-8", "replace"), body, headers, reply.decode(), count, sequence)
