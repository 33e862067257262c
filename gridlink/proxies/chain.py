"""The chain of proxies around one call. It is composed once a handler or sender, not once a message.

A proxy wraps a Call (message in, reply out) and returns a Call; it may alter the message, the reply, refuse, or count.
Order: the first proxy of a site is outermost, so on the way out a message passes the last one first, and on the way in
the first one first. Validation is the innermost of all: outside it a payload is bytes, inside it a typed value.
"""

from __future__ import annotations

from collections.abc import Sequence

from gridlink.message import Call


class Proxy:
    """A step around messages. Both hooks have a working default: pass the call on as it is."""

    def outgoing(self, call: Call) -> Call:
        """Wraps the call that takes a message of this module to the bus."""
        return call

    def incoming(self, call: Call) -> Call:
        """Wraps the call that takes a message from the bus to a handler of this module."""
        return call


def outgoing(proxies: Sequence[Proxy], call: Call) -> Call:
    """`call` with the proxies around it, for a sender."""
    for proxy in proxies:
        call = proxy.outgoing(call)
    return call


def incoming(proxies: Sequence[Proxy], call: Call) -> Call:
    """`call` with the proxies around it, for a receiver."""
    for proxy in reversed(proxies):
        call = proxy.incoming(call)
    return call
