"""Decides the tap position from voltages, history and the tap changer. Pure; each decision has its reason.

The voltages at another tap are predicted from those now: v * (1 + step * tap now) / (1 + step * other tap).
That neglects how loads react, under 0.1 % a step in a network like this; what is left over is decided again
afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct


class Outcome(Enum):
    """What came out of a decision."""

    MOVE = "move"
    WAIT = "wait"
    WITHIN = "within the dead band"
    NO_BETTER_TAP = "no tap position is better"
    LOCKED_OUT = "the tap changer is locked out"


class Settings(Struct, frozen=True):
    """How the handler decides. Voltages in per unit, times in seconds of site time.

    The band is the dead band: inside of it nothing moves. delay_s: how long a voltage must be outside before
    the tap moves; emergency_delay_s: the same beyond EN 50160's limits. margin_pu: how far inside the band a
    move must land, so that it isn't taken back soon. look_ahead_s, spare_steps: up to so many steps more are
    made where the trend of the last history_s would leave the band again within that time. max_age_s: older
    readings don't count. check_every_s, locked_out_check_s: when to look again while a problem is open, and
    when nothing can be done.
    """

    band_lower_pu: float = 0.95
    band_upper_pu: float = 1.05
    en50160_lower_pu: float = 0.90
    en50160_upper_pu: float = 1.10
    delay_s: float = 70.0
    emergency_delay_s: float = 5.0
    margin_pu: float = 0.004
    look_ahead_s: float = 1800.0
    history_s: float = 1800.0
    max_age_s: float = 300.0
    spare_steps: int = 1
    tap_step_percent: float = 2.5
    check_every_s: float = 15.0
    locked_out_check_s: float = 300.0

    def __post_init__(self) -> None:
        """Raises ValueError when the limits are not nested or a time is not positive."""
        ordered = 0.0 < self.en50160_lower_pu <= self.band_lower_pu < self.band_upper_pu <= self.en50160_upper_pu
        if not ordered:
            raise ValueError("limits: expected 0 < EN 50160's lower <= band's lower < band's upper <= EN 50160's upper")
        if not 0.0 <= self.margin_pu < (self.band_upper_pu - self.band_lower_pu) / 2:
            raise ValueError(f"margin_pu: expected 0 to under half of the band, came {self.margin_pu}; lower it")
        if min(self.delay_s, self.emergency_delay_s, self.look_ahead_s, self.spare_steps) < 0:
            raise ValueError("delay_s, emergency_delay_s, look_ahead_s, spare_steps: expected 0 or more; correct them")
        for name in ("check_every_s", "locked_out_check_s", "history_s", "max_age_s", "tap_step_percent"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: expected more than 0, came {getattr(self, name)}; raise it")


class Reading(Struct, frozen=True):
    """A meter's most recent voltage; its trend is known for the meters whose history was asked for."""

    meter: str
    value_pu: float
    timestamp_s: float
    trend_pu_per_s: float = 0.0


class Tap(Struct, frozen=True):
    """The tap changer: where it is, where it can go, whether it may, when it last moved."""

    position: int
    min: int
    max: int
    moving: bool = False
    lock_out_reason: str | None = None
    changed_s: float | None = None


class Situation(Struct, frozen=True):
    """All that a decision depends on. `outside_since_s`: since when the worst meter is outside the band."""

    now_s: float
    readings: tuple[Reading, ...]
    outside_since_s: float | None
    tap: Tap


class Decision(Struct, frozen=True):
    """The target tap position or None, why, and in how many seconds of site time to look again."""

    outcome: Outcome
    reason: str
    check_in_s: float
    target: int | None = None


def decide(settings: Settings, situation: Situation) -> Decision:
    """Decide whether to move the tap changer, and where to."""
    tap, now_s = situation.tap, situation.now_s
    if not situation.readings:
        return Decision(Outcome.WAIT, "no recent voltage is known", settings.check_every_s)
    low, high = extremes(situation.readings)
    if settings.band_lower_pu <= low.value_pu and high.value_pu <= settings.band_upper_pu:
        return Decision(Outcome.WITHIN, _range(low, high), settings.check_every_s)
    if tap.lock_out_reason is not None:
        return Decision(
            Outcome.LOCKED_OUT,
            f"{_range(low, high)}, but locked out: {tap.lock_out_reason}",
            settings.locked_out_check_s,
        )
    if tap.moving:
        return Decision(Outcome.WAIT, "the tap changer is moving", settings.check_every_s)
    if tap.changed_s is not None and tap.changed_s <= now_s and min(low.timestamp_s, high.timestamp_s) <= tap.changed_s:
        return Decision(Outcome.WAIT, "no voltage was measured since the last tap change", settings.check_every_s)
    left_s = _delay_s(settings, low, high) - (now_s - _since_s(situation))
    if left_s > 0.0:
        reason = f"{_range(low, high)} since {now_s - _since_s(situation):.0f} s, {left_s:.0f} s to go"
        return Decision(Outcome.WAIT, reason, min(left_s, settings.check_every_s))
    target = choose_target(settings, situation.readings, tap)
    if target == tap.position:
        return Decision(
            Outcome.NO_BETTER_TAP, f"{_range(low, high)} at tap {tap.position}", settings.locked_out_check_s
        )
    return Decision(
        Outcome.MOVE, f"{_range(low, high)}: tap {tap.position} to {target}", settings.check_every_s, target
    )


def extremes(readings: Sequence[Reading]) -> tuple[Reading, Reading]:
    """The meters with the lowest and the highest voltage."""
    return min(readings, key=lambda r: r.value_pu), max(readings, key=lambda r: r.value_pu)


def predict(value_pu: float, tap: int, other: int, step_percent: float) -> float:
    """The voltage at another tap position, from the one at this."""
    step_pu = step_percent / 100.0
    return value_pu * (1.0 + step_pu * tap) / (1.0 + step_pu * other)


def choose_target(settings: Settings, readings: Sequence[Reading], tap: Tap) -> int:
    """The best tap position: as few steps as bring all voltages into the band with a margin.

    Up to `spare_steps` more where the trend would leave the band again within `look_ahead_s`. Where no
    position fits, the one that exceeds the band least; the present one when none is better.
    """
    nearest_first = sorted(range(tap.min, tap.max + 1), key=lambda t: (abs(t - tap.position), t))
    now = {t: _excess_pu(settings, readings, tap.position, t, 0.0) for t in nearest_first}
    roomy = [t for t in nearest_first if now[t] <= -settings.margin_pu]
    if roomy:
        ahead_s = settings.look_ahead_s
        lasting = [t for t in roomy if _excess_pu(settings, readings, tap.position, t, ahead_s) <= 0.0]
        fewest = abs(roomy[0] - tap.position)
        return next((t for t in lasting if abs(t - tap.position) <= fewest + settings.spare_steps), roomy[0])
    best = min(nearest_first, key=lambda t: now[t])
    return best if now[best] < now[tap.position] - settings.margin_pu / 4 else tap.position


def _excess_pu(settings: Settings, readings: Sequence[Reading], tap: int, other: int, ahead_s: float) -> float:
    """How far the worst voltage would be outside of the band; negative: the distance of the nearest one to a
    limit.
    """
    excess = float("-inf")
    for reading in readings:
        value = predict(reading.value_pu + reading.trend_pu_per_s * ahead_s, tap, other, settings.tap_step_percent)
        excess = max(excess, settings.band_lower_pu - value, value - settings.band_upper_pu)
    return excess


def _delay_s(settings: Settings, low: Reading, high: Reading) -> float:
    emergency = low.value_pu < settings.en50160_lower_pu or high.value_pu > settings.en50160_upper_pu
    return min(settings.emergency_delay_s, settings.delay_s) if emergency else settings.delay_s


def _since_s(situation: Situation) -> float:
    return situation.now_s if situation.outside_since_s is None else situation.outside_since_s


def _range(low: Reading, high: Reading) -> str:
    return f"{low.value_pu:.4f} pu at {low.meter} to {high.value_pu:.4f} pu at {high.meter}"
