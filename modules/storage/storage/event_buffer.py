"""Events that wait in memory to be written together: nobody was promised them, and the flash is spared.

Always: what was taken stays readable until it is `written`; all rows together never exceed the capacity.
"""

from storage.sample import Row, Sample

_Key = tuple[str, float]  # data point, time stamp


class EventBuffer:
    """Pure; for one event loop. A later event of the same data point and time stamp replaces the earlier."""

    def __init__(self, capacity: int) -> None:
        """`capacity` in rows."""
        self._capacity = capacity
        self._pending: dict[_Key, float] = {}
        self._taken: dict[_Key, float] = {}
        self._names: dict[str, int] = {}  # pending rows of each data point
        self.units: dict[str, str] = {}
        self.dropped = 0

    def __len__(self) -> int:
        """Rows that are not written yet."""
        return len(self._pending) + len(self._taken)

    @property
    def due(self) -> bool:
        """Whether the pending rows should be written now rather than later."""
        return 2 * len(self._pending) >= self._capacity

    def room(self, rows: int) -> bool:
        """Whether that many more rows fit."""
        return len(self) + rows <= self._capacity

    def add(self, row: Row, unit: str) -> None:
        """Keep `row`; when there is no room, the oldest pending one is dropped and counted, else this one."""
        key = (row.data_point, row.timestamp_s)
        if key not in self._pending:
            if len(self) >= self._capacity:
                self.dropped += 1
                if not self._pending:
                    return
                self._drop_oldest()
            self._names[row.data_point] = self._names.get(row.data_point, 0) + 1
        self._pending[key] = row.value
        self.units[row.data_point] = unit

    def has_pending(self, data_point: str) -> bool:
        """Whether a row of `data_point` waits."""
        return data_point in self._names

    def take(self) -> list[Row]:
        """The pending rows, for one write; until `written` or `failed` there is no other `take`."""
        self._taken, self._pending = self._pending, {}
        self._names = {}
        return [Row(name, timestamp_s, value) for (name, timestamp_s), value in self._taken.items()]

    def written(self, dropped: int) -> None:
        """What was taken is on the disk, but for `dropped` rows that had no room there."""
        self._taken = {}
        self.dropped += dropped
        self.units = {name: self.units[name] for name in self._names}

    def failed(self) -> None:
        """What was taken could not be written: it waits again."""
        self._pending = {**self._taken, **self._pending}
        self._taken = {}
        self._names = {}
        for name, _ in self._pending:
            self._names[name] = self._names.get(name, 0) + 1
        self.units = {name: self.units[name] for name in self._names}

    def forget(self) -> None:
        """Give up what was never written; it counts as dropped."""
        self.dropped += len(self)
        self._pending, self._taken, self._names, self.units = {}, {}, {}, {}

    def samples(self, data_point: str) -> dict[float, float]:
        """Values by time stamp of `data_point` that are not known to be on the disk."""
        both = (self._taken, self._pending)
        return {at: value for rows in both for (name, at), value in rows.items() if name == data_point}

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._pending))
        del self._pending[oldest]
        left = self._names[oldest[0]] - 1
        if left:
            self._names[oldest[0]] = left
        else:
            del self._names[oldest[0]]


def merge(samples: list[Sample], unwritten: dict[float, float]) -> list[Sample]:
    """`samples` with the `unwritten` values laid over them, in order of time."""
    if not unwritten:
        return samples
    values = dict(samples) | unwritten
    return [Sample(at, values[at]) for at in sorted(values)]
