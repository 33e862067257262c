"""What is counted of one instance. Plain integers: counting costs nothing on the message path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since the instance was started."""

    requests: int = 0
    events: int = 0
    errors: int = 0  # handlers and timers that raised
    busy: int = 0  # requests refused because too many were in flight
    dropped_events: int = 0  # the oldest ones of a full inbox
    sent: int = 0  # requests, sends and events of its own
