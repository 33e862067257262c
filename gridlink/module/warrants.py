"""Shows that an order comes from a process that the same guardian started, and from the right one.

A guardian makes a secret at its start and hands it to the AppManager's node. Every other node that it starts has two
keys made of it: its own, by which the AppManager and it know each other, and one that all of them share, for modules
that take over from each other. An order carries an HMAC of what it says instead of a key: who taps the bus learns
none. It is good once, and for FRESH_S. A node without keys (no guardian started it) takes orders from anyone.
"""

from __future__ import annotations

import hmac
import re
import time

from gridlink.errors import AccessDenied

FRESH_S = 60.0  # longer than anybody waits for such an order
SHARED = "*"  # stands for the key that all nodes of a guardian have; no node has that name
_DIGITS = 64
_FORM = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{64})")
INSTEAD = {
    "host": "`gridlink install FILE`",
    "release": "`gridlink stop`, `gridlink move` or `gridlink uninstall`",
    "configure": "`gridlink configure`",
    "hold": "`gridlink move` or `gridlink update`",
    "resume": "`gridlink move` or `gridlink update`",
    "waiting": "`gridlink move` or `gridlink update`",
    "take": "a request to the module",
}
OF_A_NODE = frozenset({"configure", "hold", "resume", "waiting", "take"})  # orders at `_node@…`


class Warrants:
    """Of one node. `keys`: the secret itself, in the AppManager's node; those of `for_child` in another; or none."""

    def __init__(self, node: str, keys: str = "") -> None:
        self._secret = keys if len(keys) == _DIGITS else ""
        own, shared = keys[:_DIGITS], keys[_DIGITS:]
        self._keys = {} if self._secret or not keys else {node: own, SHARED: shared}
        self._seen: dict[str, int] = {}  # good ones, and when they were made: each is taken once

    def for_child(self, node: str) -> str:
        """The keys of a node that the AppManager has started; empty where this one has none to give."""
        return self._key(node) + self._key(SHARED) if self._secret else ""

    def of(self, key: str, to: str, type: str, content: bytes) -> str:
        """What an order carries as its message's id; empty where that key isn't here: it gets one like any other.

        `key`: whose it is, by the name of the node or SHARED; `to`: the instance that is asked.
        """
        digits = self._key(key)
        at_ns = time.monotonic_ns()  # all of a guardian's processes have the same
        return f"{at_ns:x}-{_mac(digits, at_ns, to, type, content)}" if digits else ""

    def holds(self, key: str, to: str, type: str, content: bytes, warrant: str) -> bool:
        """Whether an order with the id `warrant` is to be taken: it then was made here, for this, and is new."""
        if not self._secret and not self._keys:
            return True
        digits, found = self._key(key), _FORM.fullmatch(warrant)
        if not digits or found is None:
            return False
        at_ns, mac = int(found[1], 16), found[2]
        good = hmac.compare_digest(mac, _mac(digits, at_ns, to, type, content))
        now_ns = time.monotonic_ns()
        oldest_ns = now_ns - int(FRESH_S * 1e9)
        while self._seen and next(iter(self._seen.values())) < oldest_ns:
            del self._seen[next(iter(self._seen))]
        if not good or mac in self._seen or not oldest_ns <= at_ns <= now_ns:
            return False
        self._seen[mac] = now_ns
        return True

    def check(self, key: str, to: str, type: str, content: bytes, warrant: str) -> None:
        """Raises AccessDenied, which says what to use instead, where `holds` says no."""
        if not self.holds(key, to, type, content, warrant):
            raise AccessDenied(
                f"{to} takes {type} from the AppManager and the nodes of its own guardian alone, and this one isn't "
                f"theirs, or is a repetition: use {INSTEAD.get(type, 'a command of gridlink')}",
                to=to,
                type=type,
            )

    def _key(self, name: str) -> str:
        if self._secret:
            return hmac.new(bytes.fromhex(self._secret), name.encode(), "sha256").hexdigest()
        return self._keys.get(name, "")


def _mac(digits: str, at_ns: int, to: str, type: str, content: bytes) -> str:
    said = f"{at_ns:x}\n{to}\n{type}\n".encode() + content
    return hmac.new(bytes.fromhex(digits), said, "sha256").hexdigest()


def key_of(question: str, node: str) -> str:
    """The key for an order to a node: modules take over from each other by the shared one."""
    return node if question == "configure" else SHARED
