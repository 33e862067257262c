"""Proxies: steps that wrap every message on its way out of the sender or into the receiver."""

from gridlink.proxies.chain import Proxy, incoming, outgoing
from gridlink.proxies.retry import Retry
from gridlink.proxies.tracing import Tracing
from gridlink.proxies.validation import validate_event, validate_incoming, validate_request

__all__ = [
    "Proxy",
    "Retry",
    "Tracing",
    "incoming",
    "outgoing",
    "validate_event",
    "validate_incoming",
    "validate_request",
]
