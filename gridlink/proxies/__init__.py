"""Proxies: steps that wrap every message on its way out of the sender or into the receiver."""

from gridlink.proxies.around import Around
from gridlink.proxies.chain import Proxy, incoming, outgoing
from gridlink.proxies.tracing import Tracing, begin_trace
from gridlink.proxies.validation import validate_incoming

__all__ = [
    "Around",
    "Proxy",
    "Tracing",
    "begin_trace",
    "incoming",
    "outgoing",
    "validate_incoming",
]
