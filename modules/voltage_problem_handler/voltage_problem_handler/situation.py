"""Puts a situation together from what other modules told: which readings count, which history is needed.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from voltage_problem_handler.decision import Reading, Settings, Situation, Tap, extremes
from voltage_problem_handler.history import Sample, TapChange, at_present_tap, outside_since_s, trend_pu_per_s


def fresh(settings: Settings, now_s: float, readings: Iterable[Reading]) -> list[Reading]:
    """The readings that count: a meter that stopped measuring must not hold up the others.

    One of the future is none: it was measured before the site's clock was set back.
    """
    return [reading for reading in readings if abs(now_s - reading.timestamp_s) <= settings.max_age_s]


def needed_history(readings: Sequence[Reading]) -> tuple[str, ...]:
    """The meters whose history matters: those with the lowest and the highest voltage."""
    return tuple(dict.fromkeys(reading.meter for reading in extremes(readings))) if readings else ()


def assess(
    settings: Settings,
    now_s: float,
    readings: Sequence[Reading],
    *,
    histories: Mapping[str, Sequence[Sample]],
    tap: Tap,
    changes: Iterable[TapChange],
) -> Situation:
    """The situation: the readings with their trends, and since when the worst is outside the band.

    `histories` holds samples in order of time, of the meters that `needed_history` named.
    """
    known = [change for change in changes if change.timestamp_s <= now_s]
    step_pu = settings.tap_step_percent / 100.0
    trends = {
        meter: trend_pu_per_s(at_present_tap(_within(samples, now_s - settings.history_s), known, step_pu))
        for meter, samples in histories.items()
    }
    since = [
        since_s
        for samples in histories.values()
        if (since_s := outside_since_s(samples, settings.band_lower_pu, settings.band_upper_pu)) is not None
    ]
    return Situation(
        now_s=now_s,
        readings=tuple(Reading(r.meter, r.value_pu, r.timestamp_s, trends.get(r.meter, 0.0)) for r in readings),
        outside_since_s=min(since, default=None),
        tap=tap,
    )


def _within(samples: Sequence[Sample], from_s: float) -> list[Sample]:
    return [sample for sample in samples if sample.timestamp_s >= from_s]
