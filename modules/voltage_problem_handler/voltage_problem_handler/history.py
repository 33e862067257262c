"""What a meter's recent history says: since when it is outside, and where it is going.

Pure; samples are in order of time.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Sample(Struct, frozen=True):
    """A voltage at a time (site time, seconds)."""

    value_pu: float
    timestamp_s: float


class TapChange(Struct, frozen=True):
    """A step of the tap changer, as topic tap_position told it."""

    previous: int
    position: int
    timestamp_s: float


def outside_since_s(samples: Sequence[Sample], lower_pu: float, upper_pu: float) -> float | None:
    """When the unbroken run of samples outside the limits that lasts until now began; None when the last one
    is inside.
    """
    since_s = None
    for sample in reversed(samples):
        if lower_pu <= sample.value_pu <= upper_pu:
            break
        since_s = sample.timestamp_s
    return since_s


def at_present_tap(samples: Sequence[Sample], changes: Sequence[TapChange], step_pu: float) -> list[Sample]:
    """The samples as they would have been had the tap changer always stood where it stands now.

    `changes` are in order of time; a sample taken before a change is scaled by that change's ratio.
    """
    scaled = []
    for sample in samples:
        factor = 1.0
        for change in changes:
            if change.timestamp_s > sample.timestamp_s:
                factor *= (1.0 + step_pu * change.previous) / (1.0 + step_pu * change.position)
        scaled.append(Sample(sample.value_pu * factor, sample.timestamp_s))
    return scaled


def trend_pu_per_s(samples: Sequence[Sample]) -> float:
    """The slope of the straight line that fits the samples best; 0.0 when there are too few to say."""
    if len(samples) < 3:
        return 0.0
    mean_s = sum(sample.timestamp_s for sample in samples) / len(samples)
    mean_pu = sum(sample.value_pu for sample in samples) / len(samples)
    spread = sum((sample.timestamp_s - mean_s) ** 2 for sample in samples)
    if spread == 0.0:
        return 0.0
    return sum((s.timestamp_s - mean_s) * (s.value_pu - mean_pu) for s in samples) / spread
