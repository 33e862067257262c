"""What is counted of one instance. Plain integers: counting costs nothing on the message path."""

from __future__ import annotations

from msgspec import Struct, field


class RequestCounters(Struct):
    """Of the requests of one type; times in nanoseconds of real time, waiting included."""

    requests: int = 0
    errors: int = 0  # any reply that is an error, refusals included
    last_error: str = ""
    processing_ns: int = 0


class Counters(Struct):
    """Since the instance was started."""

    requests: int = 0
    events: int = 0
    errors: int = 0  # handlers and timers that raised
    refused: int = 0  # messages that a proxy turned away; an event among them is an error, too
    busy: int = 0  # requests refused because too many were in flight
    dropped_events: int = 0  # the oldest ones of a full inbox, or of a durable topic that discarded them unread
    redelivered_events: int = 0  # of durable topics: they may have been handled before
    given_up_events: int = 0  # of durable topics: their handler failed, or its process ended, each time
    hung: int = 0  # times that it held the event loop for longer than its limit, also where it lost its node by that
    stuck: int = 0  # of them, those so long that the watchdog interrupts
    configured: int = 0  # changes of its configuration that it took
    refused_configurations: int = 0
    sent: int = 0  # requests, sends and events of its own
    by_type: dict[str, RequestCounters] = field(default_factory=dict)

    def count_refused(self) -> None:
        """A proxy has turned a message away."""
        self.refused += 1

    def count_error(self) -> None:
        """A handler has raised."""
        self.errors += 1
