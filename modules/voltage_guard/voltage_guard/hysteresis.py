"""One meter's voltage against one pair of limits, with hysteresis.

Pure; the same event never comes twice in a row.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from voltage_guard.api import Limit


class Side(Enum):
    """Where a voltage is, as reported so far."""

    UNDER = "under"
    WITHIN = "within"
    OVER = "over"


class Crossing(Enum):
    """What is reported; the values are the event types of topic voltage_problem."""

    OVER_VOLTAGE = "overVoltage"
    UNDER_VOLTAGE = "underVoltage"
    BACK_TO_NORMAL = "backToNormal"


TRANSITIONS: dict[tuple[Side, Side], Crossing] = {
    (Side.WITHIN, Side.OVER): Crossing.OVER_VOLTAGE,
    (Side.WITHIN, Side.UNDER): Crossing.UNDER_VOLTAGE,
    (Side.OVER, Side.WITHIN): Crossing.BACK_TO_NORMAL,
    (Side.UNDER, Side.WITHIN): Crossing.BACK_TO_NORMAL,
    (Side.OVER, Side.UNDER): Crossing.UNDER_VOLTAGE,  # a tap too far: it was at no time back to normal
    (Side.UNDER, Side.OVER): Crossing.OVER_VOLTAGE,
}


class Limits(Struct, frozen=True):
    """A lower and an upper limit, and how far inside of them a voltage must come back to be normal again."""

    name: Limit
    lower_pu: float
    upper_pu: float
    hysteresis_pu: float

    def __post_init__(self) -> None:
        """Raises ValueError unless 0 < lower < upper and the hysteresis leaves room between them."""
        if not 0.0 < self.lower_pu < self.upper_pu:
            raise ValueError(
                f"limits {self.name}: expected 0 < lower < upper, came {self.lower_pu} and {self.upper_pu}; "
                "correct the configuration"
            )
        if not 0.0 <= self.hysteresis_pu < (self.upper_pu - self.lower_pu) / 2:
            raise ValueError(
                f"limits {self.name}: expected a hysteresis of 0 to under half of the space between, "
                f"came {self.hysteresis_pu} pu; correct the configuration"
            )


class Report(Struct, frozen=True):
    """A crossing to report, and the limit (pu) it was of."""

    crossing: Crossing
    limits: Limit
    limit_pu: float


def judge(limits: Limits, side: Side, value_pu: float) -> tuple[Side, Report | None]:
    """The side after a voltage was measured, and what to report: nothing unless the side changed."""
    new = _side(limits, side, value_pu)
    if new is side:
        return side, None
    reached = new if new is not Side.WITHIN else side
    limit_pu = limits.upper_pu if reached is Side.OVER else limits.lower_pu
    return new, Report(TRANSITIONS[side, new], limits.name, limit_pu)


def _side(limits: Limits, side: Side, value_pu: float) -> Side:
    if value_pu > limits.upper_pu:
        return Side.OVER
    if value_pu < limits.lower_pu:
        return Side.UNDER
    if side is Side.OVER and value_pu > limits.upper_pu - limits.hysteresis_pu:
        return Side.OVER
    if side is Side.UNDER and value_pu < limits.lower_pu + limits.hysteresis_pu:
        return Side.UNDER
    return Side.WITHIN
