"""Proxies: steps that wrap every message on its way out of the sender or into the receiver."""

from gridlink.proxies.around import Around
from gridlink.proxies.chain import Proxy, incoming, outgoing
from gridlink.proxies.retry import Retry
from gridlink.proxies.tracing import Tracing, begin_trace
from gridlink.proxies.validation import validate_event, validate_incoming, validate_request

__all__ = [
    "Around",
    "Proxy",
    "Retry",
    "Tracing",
    "begin_trace",
    "incoming",
    "outgoing",
    "validate_event",
    "validate_incoming",
    "validate_request",
]
