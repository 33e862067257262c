"""The lowest and highest voltage of the last 24 hours of site time, by interval; pure, at most 97 points."""

from collections import deque

from dashboard_interface.api import Band, BandPoint

INTERVAL_S = 900.0
SPAN_S = 86400.0


class VoltageBand:
    """Collects values by the interval of their time stamp."""

    def __init__(self) -> None:
        self._points: deque[list[float]] = deque(maxlen=int(SPAN_S / INTERVAL_S) + 1)

    def add(self, value_pu: float, timestamp_s: float) -> None:
        """Takes one value; a time before the newest interval by more than one starts the band anew.

        Time goes back when a replayed day begins again; one interval back is a late message of the newest.
        """
        start_s = timestamp_s // INTERVAL_S * INTERVAL_S
        if self._points and start_s < self._points[-1][0] - INTERVAL_S:
            self._points.clear()
        if not self._points or start_s > self._points[-1][0]:
            self._points.append([start_s, value_pu, value_pu])
            self._forget_before(start_s - SPAN_S)
            return
        point = self._points[-1]
        point[1] = min(point[1], value_pu)
        point[2] = max(point[2], value_pu)

    def read(self) -> Band:
        """The band, oldest interval first; intervals without a value are left out."""
        return Band(INTERVAL_S, [BandPoint(*point) for point in self._points])

    def _forget_before(self, oldest_s: float) -> None:
        while self._points[0][0] < oldest_s:
            self._points.popleft()
