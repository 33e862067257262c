"""The chain of proxies around one call. It is composed once a handler or sender, not once a message.

A proxy wraps a Call (message in, reply out) and returns a Call; it may alter the message, the reply, refuse, or count.
Order: the first proxy of a site is outermost, so on the way out a message passes the last one first, and on the way in
the first one first. Validation is the innermost of all: outside it a payload is bytes, inside it a typed value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gridlink.message import Call

if TYPE_CHECKING:
    from gridlink.proxies.around import Around
    from gridlink.proxies.scope import Coverage


class Proxy:
    """A step around messages. All hooks have a working default: pass the call on as it is.

    One that is named in a site file is made once an instance: with what `prepare` returned, if it has a
    `settings_type`, else without an argument. It should raise GridlinkErrors; anything else fails the message all the
    same, as ProxyFailed.
    """

    settings_type: ClassVar[Any] = None  # the frozen dataclass that its entry in the site file is read into
    scopes_itself: ClassVar[bool] = False  # it is asked of every message, also of those that its `for` leaves out

    @classmethod
    def prepare(cls, settings: Any, directory: Path, where: str) -> Any:
        """Checks its settings, once a process. `directory` is the site file's, `where` names the entry in errors.

        Raises ConfigInvalid.
        """
        return settings

    def attach(self, around: Around, coverage: Coverage) -> None:
        """Called once, before the other hooks: whose messages it wraps, and which of them are meant by its `for`."""

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
