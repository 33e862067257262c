"""Tells systemd how the guardian fares: datagrams of lines, as in sd_notify(3); nothing where nobody asks for them.

READY once the node is up: it has joined the bus, and its AppManager takes commands. Not once all modules run: one that
has failed for good must not have systemd end the others. The watchdog is fed while the guardian's loop turns and the
node's heartbeats come. The guardian itself replaces a node that hangs, so systemd's patience (WatchdogSec) has to be
longer than that takes: see configs/systemd/gridlink.service.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket  # without its wrapper: 0.5 MiB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from appmanager.guardian.child import Child

HEARD_WITHIN_S = 3.0  # a node beats twice a second


class Systemd:
    """Whoever started this process and wants to hear of it, by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.

    They are taken out of the environment: what children say there is nobody's business. Nothing here raises or waits.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        fed_us, fed_pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        self._address = address if address[:1] in ("/", "@") else ""
        is_fed = bool(self._address) and fed_us.isdigit() and fed_pid in ("", str(os.getpid()))
        self._feed_every_s = int(fed_us) / 2e6 if is_fed else 0.0  # 0: there is no watchdog
        self._fed_s = 0.0
        self._was_ready = self._was_up = False
        self._status = ""
        self.unheard = 0  # datagrams that nobody took

    def turn(self, now_s: float, node: Child | None) -> None:
        """Says what has changed, and feeds the watchdog. To be called several times a second."""
        if not self._address:
            return
        up = node if node is not None and node.ready else None
        if (up is not None) != self._was_up:
            self._was_up = up is not None
            self._changed()
        is_due = self._feed_every_s and now_s - self._fed_s >= self._feed_every_s
        if is_due and up is not None and up.quiet_s(now_s) < HEARD_WITHIN_S:
            self._fed_s = now_s
            self._say("WATCHDOG=1")

    def _changed(self) -> None:
        if not self._was_up:
            self.status("the node has ended and is started again")
        elif self._was_ready:
            self.status("the node is up again")
        else:
            self._was_ready = True
            self._say("READY=1")
            self.status("the node is up")

    def status(self, text: str) -> None:
        """What `systemctl status` is to show. Said once, however often it comes."""
        if self._address and text != self._status:
            self._status = text
            self._say(f"STATUS={text}")

    def stopping(self, why: str) -> None:
        """The guardian ends its children, and then itself."""
        if self._address:
            self._say("STOPPING=1", f"STATUS=the guardian ends: {why}")
            self._address = ""  # what comes after that is no news

    def _say(self, *lines: str) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        asked = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        try:
            asked.sendto("\n".join(lines).encode(), address)
        except OSError:  # it is gone, or its queue is full: the modules matter more than what is shown of them
            self.unheard += 1
        finally:
            asked.close()
