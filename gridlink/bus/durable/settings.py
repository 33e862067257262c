"""What a site may set of its JetStream server and of its durable topics: `jetstream` in the site file. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

DOMAIN = "gridlink"  # of JetStream, whatever the site: a site has one account
CENTRE = "centre"  # the domain of a control centre's JetStream
TRANSFER = "transfer"  # of files on their way to a site: their stream is `transfer-SITE`, a topic's `topic-NAME`
WEEK_S = 7 * 86400.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of one durable topic is kept. What is over one of the bounds goes, the oldest first."""

    max_mib: Positive = 32.0
    max_age_s: Positive = WEEK_S
    max_events: Count = 1_000_000


@dataclass(frozen=True, slots=True)
class JetStreamSettings:
    """The site's JetStream server. `machine`: the node that runs it; empty: the one whose bundles need it.

    `sync_s`: how often it has the disk write what it keeps, which is what a power cut can cost.
    """

    machine: str = ""
    max_file_mib: Positive = 256.0
    max_memory_mib: Positive = 16.0
    sync_s: Positive = 10.0
    topics: dict[str, Kept] = field(default_factory=dict)

    def kept(self, topic: str) -> Kept:
        """The bounds of a topic."""
        return self.topics.get(topic, _DEFAULT)


_DEFAULT = Kept()
