"""How fast a transfer may go: a thin link is for the grid first. Pure: time is passed in."""

from __future__ import annotations

SAVED_UP_S = 1.0


class Pace:
    """So many bytes a second, on the average; what wasn't used is saved up for a second at most. 0: no limit."""

    def __init__(self, bytes_a_s: float, now_s: float) -> None:
        self._bytes_a_s, self._at_s = bytes_a_s, now_s
        self._left = bytes_a_s * SAVED_UP_S

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """Takes so many bytes; how long to wait before they are sent or fetched."""
        if not self._bytes_a_s:
            return 0.0
        most = self._bytes_a_s * SAVED_UP_S
        self._left = min(most, self._left + (now_s - self._at_s) * self._bytes_a_s) - size_bytes
        self._at_s = now_s
        return max(0.0, -self._left / self._bytes_a_s)
