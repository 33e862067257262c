"""Accounts of a day: exact site time outside the voltage limits, in quarter hours, and tap steps.

Pure; time never runs back.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from data_generator.profiles import QUARTER_HOUR_S

EN50160_LOWER_PU, EN50160_UPPER_PU = 0.90, 1.10
BAND_LOWER_PU, BAND_UPPER_PU = 0.95, 1.05
KEPT_DAYS = 30
"""Finished days that are kept; older ones are dropped, so that a replay that runs for years stays small."""


class DayAccount(Struct, frozen=True):
    """What happened on one replayed day. `day_number` counts from the replay's first day, 0."""

    day: str
    day_number: int
    outside_en50160_quarter_hours: float = 0.0
    outside_band_quarter_hours: float = 0.0
    tap_steps: int = 0


def outside(voltages_pu: Iterable[float], lower_pu: float, upper_pu: float) -> bool:
    """Whether any of the voltages is below the lower or above the upper limit."""
    return any(not lower_pu <= voltage <= upper_pu for voltage in voltages_pu)


def add_time(account: DayAccount, voltages_pu: Iterable[float], duration_s: float) -> DayAccount:
    """The account after `duration_s` of site time with these voltages at the buses."""
    voltages = tuple(voltages_pu)
    if not outside(voltages, BAND_LOWER_PU, BAND_UPPER_PU):
        return account
    quarters = duration_s / QUARTER_HOUR_S
    beyond = quarters if outside(voltages, EN50160_LOWER_PU, EN50160_UPPER_PU) else 0.0
    return replace(
        account,
        outside_en50160_quarter_hours=account.outside_en50160_quarter_hours + beyond,
        outside_band_quarter_hours=account.outside_band_quarter_hours + quarters,
    )


def add_steps(account: DayAccount, steps: int) -> DayAccount:
    """The account after the tap changer moved by `steps` positions, in either direction."""
    return replace(account, tap_steps=account.tap_steps + abs(steps))
