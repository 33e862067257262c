"""The one restart policy: back off, and give up after too many failures in a period. Pure: time is passed in.

The guardian loads this file: it imports nothing.
"""

from __future__ import annotations


class RestartHistory:
    """The failures of one child, and what follows from them. Each child has its own: a fresh start makes another one.

    More than `intensity` failures within `period_s` and the child is given up (OTP's rule). The wait before a restart
    doubles from `backoff_s[0]` to `backoff_s[1]` seconds with each failure in the period.
    """

    __slots__ = ("_failed_at_s", "backoff_s", "intensity", "period_s")

    def __init__(
        self, intensity: int = 5, period_s: float = 60.0, backoff_s: tuple[float, float] = (0.2, 30.0)
    ) -> None:
        self.intensity, self.period_s, self.backoff_s = intensity, period_s, backoff_s
        self._failed_at_s: list[float] = []

    def failed(self, now_s: float) -> float | None:
        """Notes a failure; returns the seconds to wait before the next start, or None to give up."""
        earliest_s = now_s - self.period_s
        self._failed_at_s = [at_s for at_s in self._failed_at_s if at_s > earliest_s]
        self._failed_at_s.append(now_s)
        count = len(self._failed_at_s)
        if count > self.intensity:
            return None
        shortest_s, longest_s = self.backoff_s
        return float(min(longest_s, shortest_s * 2.0 ** min(count - 1, 64)))
