"""How much may be written to flash: so many bytes a day, saved up for an hour at most. Pure: time is passed in."""

from __future__ import annotations

BLOCK_BYTES = 4096
DAY_S = 86400.0
SAVED_UP_S = 3600.0


class FlashBudget:
    """Of one node. What a write costs is counted in blocks, and one more for the directory."""

    def __init__(self, bytes_a_day: int, now_s: float) -> None:
        self._bytes_a_s = bytes_a_day / DAY_S
        self._most = self._bytes_a_s * SAVED_UP_S
        self._left = self._most
        self._at_s = now_s
        self.written_bytes = 0

    def take(self, size_bytes: int, now_s: float) -> bool:
        """Takes what a file of that size costs; False, and nothing taken, where it isn't there.

        A file that costs more than can be saved up has to wait until all is there, and leaves a debt.
        """
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._bytes_a_s)
        self._at_s = now_s
        cost = cost_bytes(size_bytes)
        if self._left < min(cost, self._most):
            return False
        self._left -= cost
        self.written_bytes += cost
        return True


def cost_bytes(size_bytes: int) -> int:
    """What writing a file of that size costs."""
    return (-(-size_bytes // BLOCK_BYTES) + 1) * BLOCK_BYTES
