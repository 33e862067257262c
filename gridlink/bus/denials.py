"""What a nats-server doesn't let a connection do: who sends or registers is told, instead of waiting for nothing.

The server says `Permissions Violation for Publish to "SUBJECT"` and not which message it was; nats-py hands that on in
small letters. What is denied is logged once a subject and connection.
"""

from __future__ import annotations

import logging
import re
import time

from gridlink.address import Address, readable
from gridlink.errors import AccessDenied
from gridlink.message import Message

log = logging.getLogger("gridlink.bus")

RECHECK_S = 1.0
_REMEMBERED = 1024
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
_HOW = (
    "if it should be allowed, add a rule to the site's policy and make the trust directories again (`gridlink init "
    "--cluster`, docs/cluster.md)"
)


class Denials:
    """What one connection's credentials don't allow, as far as the server has said so."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.guarded = False  # the server asks for credentials: events may be denied, and nothing answers them
        self.one_reply = False  # to a question: the server has refused a second
        self._sending: dict[str, float] = {}  # a denied subject -> time.monotonic() when the server last said so
        self._hearing: set[str] = set()
        self._tried: set[str] = set()

    def note(self, text: str) -> str:
        """Takes a sentence of the server; returns the subject that nothing may be sent to, if that is what it says."""
        match = _VIOLATION.search(text.lower())
        if match is None:
            log.warning("the nats-server refuses: %s", text.strip())
            return ""
        what, name = match.groups()
        self.one_reply = self.one_reply or (what == "publish" and name.startswith("_inbox."))
        known = self._sending if what == "publish" else self._hearing
        if name not in known:
            if len(known) >= _REMEMBERED:  # reply subjects are without number
                known.clear()
            verb = "send to" if what == "publish" else "listen to"
            log.warning("the nats-server doesn't let the node %s %s %s: %s", self._node, verb, name, _HOW)
        if what == "publish":
            self._sending[name] = time.monotonic()
            return name
        self._hearing.add(name)
        return ""

    def is_unsure(self, name: str) -> bool:
        """Whether it isn't known if an event on the subject passes: a round trip to the server will tell. Asked once.

        A denial holds for RECHECK_S, because the server's permissions may be reloaded.
        """
        denied_s = self._sending.get(name.lower())
        if denied_s is not None and time.monotonic() - denied_s > RECHECK_S:
            del self._sending[name.lower()]
            return True
        if name in self._tried:
            return False
        if len(self._tried) >= _REMEMBERED:
            self._tried.clear()
        self._tried.add(name)
        return True

    def denies(self, name: str) -> bool:
        """Whether the server doesn't let the node send to the subject."""
        return name.lower() in self._sending

    def denies_hearing(self, name: str) -> bool:
        """Whether the server doesn't let the node subscribe to the subject."""
        return name.lower() in self._hearing

    def forget(self) -> None:
        """The connection is another one, perhaps to a server with other permissions."""
        self.one_reply = False
        self._sending.clear()
        self._hearing.clear()
        self._tried.clear()


def may_not_send(message: Message, node: str) -> AccessDenied:
    """The error for a message that the server didn't take."""
    source, to = message.source or f"the node {node}", readable(message.address)
    return AccessDenied(
        f"{source} may not send {message.type} to {to}: the nats-server doesn't let the credentials of node {node}; "
        f"{_HOW}",
        source=message.source,
        to=to,
        type=message.type,
    )


def may_not_hear(what: Address | str, node: str) -> AccessDenied:
    """The error for a subscription that the server didn't take."""
    return AccessDenied(
        f"node {node} may not listen to {what}: the nats-server doesn't let its credentials; {_HOW}", to=what
    )


def may_not_say(subject: str, node: str) -> AccessDenied:
    """The error for what the server didn't take on a subject that isn't an address."""
    return AccessDenied(f"node {node} may not send on {subject}: its credentials don't allow it; {_HOW}", to=subject)
