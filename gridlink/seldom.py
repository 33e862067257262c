"""At most one line of log a second of a kind: what others send must not fill a flash. Pure: time is passed in."""

from __future__ import annotations

EVERY_S = 1.0


class Seldom:
    """Says which of many lines of one kind are logged: the first, and one each EVERY_S; the others are counted."""

    def __init__(self) -> None:
        self._again_s = 0.0
        self._unsaid = 0

    def more(self, now_s: float) -> str | None:
        """What to add to a line that is due at `now_s` (monotonic): how many were not logged; None: log nothing."""
        if now_s < self._again_s:
            self._unsaid += 1
            return None
        more = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        self._again_s, self._unsaid = now_s + EVERY_S, 0
        return more
