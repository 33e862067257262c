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
        self._is_up = self._is_ready = False
        self._told = ""  # by the AppManager
        self._wanted = self._shown = ""  # what is to be shown, and what is

    def turn(self, now_s: float, node: Child | None) -> None:
        """Says what has changed, and feeds the watchdog. To be called several times a second."""
        if not self._address:
            return
        up = node if node is not None and node.ready else None
        self._changed(was_up=self._is_up, is_up=up is not None)
        self._is_ready = self._is_ready or (self._is_up and self._say("READY=1"))
        if self._wanted != self._shown and self._say(f"STATUS={self._wanted}"):
            self._shown = self._wanted
        is_due = self._feed_every_s and now_s - self._fed_s >= self._feed_every_s
        if is_due and up is not None and up.quiet_s(now_s) < HEARD_WITHIN_S and self._say("WATCHDOG=1"):
            self._fed_s = now_s

    def _changed(self, was_up: bool, is_up: bool) -> None:
        self._is_up = is_up
        if was_up and not is_up:
            self._told, self._wanted = "", "the node has ended and is started again"
        elif is_up and not was_up:
            self._wanted = self._told or "the node is up"  # its AppManager may have been the first to say something

    def status(self, text: str) -> None:
        """What the AppManager says of its bundles, for `systemctl status`."""
        self._told = self._wanted = text

    def stopping(self, why: str) -> None:
        """The guardian ends its children, and then itself."""
        if self._address:
            self._say("STOPPING=1", f"STATUS=the guardian ends: {why}")
            self._address = ""  # what comes after that is no news

    def _say(self, *lines: str) -> bool:
        """Whether it was taken: where the queue is full, it is said again in the next turn."""
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        asked = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        try:
            asked.sendto("\n".join(lines).encode(), address)
        except OSError:  # full, or gone: the modules matter more than what is shown of them
            return False
        finally:
            asked.close()
        return True
