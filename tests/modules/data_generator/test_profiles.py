"""Days are replayed one after the other and then again; a spoilt day is refused with its line."""

from __future__ import annotations

import pytest

from data_generator.configuration import DATA, Config, delivered_feeder, delivered_replay
from data_generator.profiles import DAY_S, Instant, ProfileError, load_day

FEEDER = delivered_feeder()
REPLAY = delivered_replay(FEEDER)
SUMMER = (DATA / "summer_day.csv").read_text()


def test_a_value_is_held_for_its_quarter_hour() -> None:
    """The profiles are quarter-hour means; nothing is interpolated."""
    assert REPLAY.instant(0.0) == REPLAY.instant(899.999) == Instant(0, 0)
    assert REPLAY.instant(900.0) == Instant(0, 1)
    assert REPLAY.quarter_ends_s(Instant(1, 95)) == 2 * DAY_S


def test_after_the_last_day_the_first_comes_again() -> None:
    """A site that runs for weeks replays the same two days."""
    names = [REPLAY.day(REPLAY.instant(day * DAY_S)).name for day in range(5)]
    assert names == ["summer", "winter", "summer", "winter", "summer"]
    assert REPLAY.quarter(REPLAY.instant(3 * DAY_S + 5)) is REPLAY.days[1].quarters[0]


def test_the_delivered_values_arrive_at_their_bus() -> None:
    """Loads are given in sweep order; a slip would put them on another bus."""
    first = REPLAY.days[0].quarters[0]
    by_bus = dict(zip(FEEDER.buses, first.loads_kva, strict=True))
    assert by_bus[1] == 3.4736 + 1.654j
    assert by_bus[2] == 0.8809 + 0.6242j
    assert by_bus[4] == 0j
    assert first.mv_voltage_pu == 1.025


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SUMMER.replace("\n15,", "\n16,", 1), "line 15"),
        (SUMMER.replace("0,1,3.4736", "0,99,3.4736", 1), "line 2"),
        (SUMMER.replace("3.4736", "much", 1), "line 2"),
        ("minute,bus\n0,1\n", "line 2"),
        (SUMMER.split("\n1425,", maxsplit=1)[0], "came none for minute 1425"),
        (SUMMER.replace("\n1425,", "\n1440,", 1), "quarter|index|line"),
    ],
)
def test_a_spoilt_day_is_refused_with_its_place(text: str, message: str) -> None:
    """Somebody who brings a day of their own must be told what is wrong with it."""
    with pytest.raises(ProfileError, match=message):
        load_day("mine", text, FEEDER.buses)


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": 0.0},
        {"speed": -1.0},
        {"start": "yesterday"},
        {"days": ()},
        {"days": ("autumn",)},
        {"publish_every_s": 0.1},
    ],
)
def test_a_configuration_that_can_not_be_replayed_is_refused(wrong: dict[str, object]) -> None:
    """The message names the field, for it is what an operator sees."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)  # type: ignore[arg-type]


def test_a_start_without_an_offset_is_utc() -> None:
    """The same file gives the same times on every board."""
    assert Config(start="2026-05-20T00:00:00").start_s() == Config().start_s()
