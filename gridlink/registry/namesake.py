"""Another node of our own name that was met on the way: a partition healed, or both started at the same moment.

A node that finds its name taken doesn't start (`gridlink.node.namesake`). Where both run already, neither is ended: a
name must not stop a substation. But what is sent to an instance of that name would reach both, so both refuse it.
Pure: time is passed in.
"""

from __future__ import annotations

from gridlink.registry.entry import Announcement, Heartbeat, Leave, Update
from gridlink.registry.view import GONE_S


class Namesake:
    """What is known of the other; `boot` is empty while there is none."""

    def __init__(self) -> None:
        self.boot = self.machine = ""
        self._heard_s = 0.0

    def met(self, what: Announcement | Update | Heartbeat | Leave, now_s: float) -> bool:
        """Takes in what it says; returns whether this is news: it is new, has gone, or says where it is."""
        before = (self.boot, self.machine)
        if isinstance(what, Leave):
            self.boot = self.machine = ""
        else:
            machine = what.machine if isinstance(what, Announcement) else ""
            self.machine = machine or (self.machine if what.boot == self.boot else "")
            self.boot, self._heard_s = what.boot, now_s
        return (self.boot, self.machine) != before

    def aged(self, now_s: float) -> bool:
        """Forgets one that fell silent; returns whether it did."""
        if not self.boot or now_s - self._heard_s <= GONE_S:
            return False
        self.boot = self.machine = ""
        return True

    def said(self, node: str) -> str:
        """What to tell of it; empty where there is none."""
        if not self.boot:
            return ""
        where = f" (on machine {self.machine})" if self.machine else ""
        return (
            f"another node of this site is called {node} too{where}: requests to instances of {node} are refused, for "
            "they would reach both; roles and topics go on. End one of them, and start it with --node NAME"
        )
