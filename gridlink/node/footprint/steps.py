"""How long the steps of one module held the event loop: number, sum, longest, and a histogram for percentiles. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_BUCKETS = 8 * 48  # 8 a power of two, so that a percentile is right within 12 %; the last begins at 39 hours


@dataclass(frozen=True, slots=True)
class LoopTime:
    """Of the steps of one module, in seconds. `cpu_s`: what of it was spent on the processor."""

    steps: int
    total_s: float
    cpu_s: float
    mean_s: float
    p99_s: float
    longest_s: float


class Steps:
    """Adds steps up, of real time. `slept_ns`: what of it was not spent on the processor, as far as is known."""

    __slots__ = ("_buckets", "longest_ns", "slept_ns", "total_ns")

    def __init__(self) -> None:
        self.total_ns = self.slept_ns = self.longest_ns = 0
        self._buckets = [0] * _BUCKETS

    def add(self, took_ns: int) -> None:
        """One more step. On the loop's own path while somebody looks: keep it short."""
        self.total_ns += took_ns
        self.longest_ns = max(self.longest_ns, took_ns)
        shift = took_ns.bit_length() - 4  # as in `_bucket`: a call would cost as much as all of this
        self._buckets[(shift << 3) + (took_ns >> shift) if shift > 0 else took_ns] += 1

    def percentile_ns(self, part: float) -> int:
        """The time that `part` (0 to 1) of the steps didn't exceed: the upper edge of its bucket; 0 without steps."""
        above = (1 - part) * sum(self._buckets) + 1e-9  # so many may take longer
        for bucket in range(_bucket(self.longest_ns), -1, -1):
            above -= self._buckets[bucket]
            if above < 0:
                return min(_upper_ns(bucket), self.longest_ns)
        return 0

    def summed(self) -> LoopTime:
        """All of it, in seconds."""
        count = sum(self._buckets)
        return LoopTime(
            steps=count,
            total_s=self.total_ns / 1e9,
            cpu_s=(self.total_ns - self.slept_ns) / 1e9,
            mean_s=self.total_ns / 1e9 / count if count else 0.0,
            p99_s=self.percentile_ns(0.99) / 1e9,
            longest_s=self.longest_ns / 1e9,
        )


def _bucket(took_ns: int) -> int:
    shift = took_ns.bit_length() - 4
    return (shift << 3) + (took_ns >> shift) if shift > 0 else took_ns


def _upper_ns(bucket: int) -> int:
    """The longest time that falls into a bucket: those below 16 ns are single, then there are 8 a power of two."""
    if bucket < 16:
        return bucket
    shift = (bucket >> 3) - 1
    return (((bucket & 7) + 8 + 1) << shift) - 1
