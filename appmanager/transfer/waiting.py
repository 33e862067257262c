"""How long to wait for an answer, and between two tries. Pure: what was measured is passed in.

A request whose server was killed is never answered, and nobody says so: the sooner it is given up, the better. But an
answer that is merely late, over a thin line, would come twice. So the wait follows what chunks have taken lately.
"""

from __future__ import annotations

PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ANSWER_WITHIN_S = 10.0  # before anything is known of the line
LEAST_S, MOST_S = 3.0, 60.0  # a packet that is lost takes TCP a second or two; 128 KiB in a minute are 2 KiB a second
SLOWER = 4.0  # than the slowest one lately: then it is lost
FORGETS = 0.9  # of the slowest one, a chunk


class Patience:
    """Of one transfer."""

    def __init__(self) -> None:
        self.answer_within_s = ANSWER_WITHIN_S
        self._slowest_s = 0.0
        self._failed = 0

    def failed(self, late: bool) -> float:
        """A try failed, because the answer was `late` or for another reason; how long to wait before the next one.

        Late ones in a row are given twice as long each time: the line may have become thin.
        """
        if late:
            self.answer_within_s = min(MOST_S, 2 * self.answer_within_s)
        self._failed += 1
        return PAUSES_S[min(self._failed, len(PAUSES_S)) - 1]

    def heard(self, took_s: float) -> None:
        """A try went well, and took so long."""
        self._failed = 0
        self._slowest_s = max(took_s, FORGETS * self._slowest_s)
        self.answer_within_s = min(MOST_S, max(LEAST_S, SLOWER * self._slowest_s))
