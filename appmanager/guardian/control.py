"""The guardian's end of the pipes to the AppManager: lines of tab-separated fields, orders in, events out.

Orders: `spawn NAME MODE LIMITS SETTINGS KEYS` (MODE fork or process, LIMITS as in `limits`, KEYS those of
gridlink.module.warrants), `stop NAME GRACE_S`, `children -`, `forgive MODULE` (its offences are another version's),
`store -` (the site's JetStream server is to run, its configuration is written; `store anew`: it is another one), and
`status - TEXT` for systemd. Events: `exited NAME STATUS HOW REASON`, before it `offence …` where a module was to blame
(see offenders), `children NAME=MODE…` for those that live, `store URL`: it listens.
"""

from __future__ import annotations

import os


class Control:
    """Reads orders and writes events; never blocks. An AppManager that is gone hears nothing and asks anew."""

    def __init__(self) -> None:
        self.orders_fd, theirs_write = os.pipe()
        theirs_read, self._events_fd = os.pipe()
        self.theirs = (theirs_read, theirs_write)  # the AppManager's ends
        for fd in (self.orders_fd, self._events_fd):
            os.set_blocking(fd, False)
        self._partial = b""

    def keep_ours(self) -> None:
        """In the guardian, after the fork: closes the child's ends."""
        for fd in self.theirs:
            os.close(fd)

    def orders(self) -> list[list[str]] | None:
        """The orders that have come whole, as fields; None at the end of the pipe."""
        try:
            received = os.read(self.orders_fd, 65536)
        except BlockingIOError:
            return []
        if not received:
            return None
        *lines, self._partial = (self._partial + received).split(b"\n")
        return [line.decode("utf-8", "replace").split("\t") for line in lines]

    def say(self, *fields: str) -> None:
        """Writes an event."""
        line = "\t".join(" ".join(field.split()) for field in fields) + "\n"
        try:
            os.write(self._events_fd, line.encode())
        except (BlockingIOError, BrokenPipeError):
            return  # see above

    def close(self) -> None:
        """Closes our ends."""
        os.close(self.orders_fd)
        os.close(self._events_fd)
