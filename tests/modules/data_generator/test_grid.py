"""The replayed grid accounts for every second, whenever it is asked, and continues where it was kept."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from data_generator.configuration import delivered_feeder, delivered_replay
from data_generator.grid import Position, ReplayedGrid, TapOutOfRange, first_position
from data_generator.keeping import KeptUnreadable, decode, encode, read_kept, write_kept
from data_generator.profiles import DAY_S, QUARTER_HOUR_S
from data_generator.violations import KEPT_DAYS, DayAccount, add_steps, add_time

FEEDER = delivered_feeder()
REPLAY = delivered_replay(FEEDER)


def new_grid(tap: int = 0) -> ReplayedGrid:
    """The delivered grid at its first midnight."""
    return ReplayedGrid(FEEDER, REPLAY, first_position(REPLAY, tap))


def counted(day: str, tap: int, lower: float, upper: float) -> int:
    """Quarter hours outside, counted in the reference, which knows nothing of our accounts."""
    text = (Path(__file__).parents[2] / "data" / f"{day}_reference.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()[1:]]
    return sum(any(not lower <= float(v) <= upper for v in row[2:16]) for row in rows if int(row[1]) == tap)


@pytest.mark.parametrize("tap", [-1, 0, 1, 3])
def test_a_fixed_tap_is_outside_as_long_as_the_reference_says(tap: int) -> None:
    """The accounts agree with the README's table, which was computed elsewhere."""
    grid = new_grid(tap)
    grid.advance(2 * DAY_S)
    for account in grid.position.finished:
        expected_band = counted(account.day, tap, 0.95, 1.05)
        expected_en50160 = counted(account.day, tap, 0.90, 1.10)
        assert account.outside_band_quarter_hours == pytest.approx(expected_band)
        assert account.outside_en50160_quarter_hours == pytest.approx(expected_en50160)
        assert account.tap_steps == 0


def test_how_often_the_grid_is_asked_does_not_change_the_accounts() -> None:
    """A module that wakes late must count the same."""
    seldom, often = new_grid(), new_grid()
    seldom.advance(2 * DAY_S)
    times = random.Random(1)
    elapsed_s = 0.0
    while elapsed_s < 2 * DAY_S:
        elapsed_s = min(elapsed_s + times.uniform(1, 4000), 2 * DAY_S)
        often.advance(elapsed_s)
    assert len(seldom.position.finished) == len(often.position.finished) == 2
    for one, other in zip(seldom.position.finished, often.position.finished, strict=True):
        assert one.outside_band_quarter_hours == pytest.approx(other.outside_band_quarter_hours)
        assert one.outside_en50160_quarter_hours == pytest.approx(other.outside_en50160_quarter_hours)


def test_a_tap_change_splits_the_quarter_hour_exactly() -> None:
    """Time outside is exact site time, not whole quarter hours."""
    grid = new_grid()
    at_s = 38 * QUARTER_HOUR_S + 90.0  # 9:31:30; at tap 0 the band is left at 9:30
    grid.set_tap(at_s, 1)
    grid.advance(39 * QUARTER_HOUR_S)
    assert grid.position.account.outside_band_quarter_hours == pytest.approx(0.1)
    assert grid.position.account.tap_steps == 1


def test_asking_again_and_for_a_time_past_changes_nothing() -> None:
    """The clock may be read in any order; time never runs back."""
    grid = new_grid()
    grid.advance(50_000.0)
    position = grid.position
    grid.advance(50_000.0)
    grid.advance(10.0)
    assert grid.position == position


@pytest.mark.parametrize("tap", [-5, 5])
def test_a_tap_position_out_of_range_is_refused_and_nothing_moves(tap: int) -> None:
    """A wrong command must not cost a step."""
    grid = new_grid()
    with pytest.raises(TapOutOfRange, match="from -4 to 4"):
        grid.set_tap(10.0, tap)
    assert grid.position == first_position(REPLAY, 0)


def test_the_voltage_falls_when_the_tap_rises_and_a_repeated_command_counts_no_step() -> None:
    """A command that is sent twice after a lost reply is harmless."""
    grid = new_grid()
    before = min(grid.solution.voltages_pu)
    grid.set_tap(1.0, 2)
    grid.set_tap(2.0, 2)
    assert min(grid.solution.voltages_pu) < before - 0.04
    assert grid.position.account.tap_steps == 2


def test_a_kept_position_continues_exactly(tmp_path: Path) -> None:
    """A restart must not lose a second, a step or a day."""
    grid = new_grid()
    grid.set_tap(100.0, 1)
    grid.advance(DAY_S + 12_345.6)
    path = tmp_path / "position.json"
    assert read_kept(path) is None
    (path.parent / f".{path.name}.0123456789ab").write_bytes(b"of a process that was killed")
    write_kept(path, encode(grid.position, "replay"))
    assert list(path.parent.iterdir()) == [path]
    write_kept(path, encode(grid.position, "replay"))
    kept = decode(read_kept(path) or "", "replay")
    assert kept == grid.position
    assert [file.name for file in tmp_path.iterdir()] == ["position.json"]
    assert ReplayedGrid(FEEDER, REPLAY, kept).solution == grid.solution


def test_the_position_of_another_replay_is_not_used() -> None:
    """Other days or another start begin anew."""
    assert decode(encode(first_position(REPLAY, 0), "one"), "other") is None


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', '{"format": 1, "replay": "r"}', "[1]"])
def test_a_kept_position_that_was_spoilt_is_refused(text: str) -> None:
    """The module begins anew instead of dying at each start."""
    with pytest.raises(KeptUnreadable, match="expected a replay position"):
        decode(text, "r")


def test_old_days_are_dropped() -> None:
    """A replay that runs for years must not grow."""
    grid = new_grid()
    grid.advance((KEPT_DAYS + 5) * DAY_S)
    assert len(grid.position.finished) == KEPT_DAYS
    assert grid.position.finished[-1].day_number == KEPT_DAYS + 4


def test_time_is_accounted_to_each_pair_of_limits_it_is_outside_of() -> None:
    """Outside EN 50160 is outside the band too."""
    account = DayAccount("day", 0)
    account = add_time(account, [1.0, 1.05, 0.95], 900.0)
    account = add_time(account, [1.0, 1.0501], 450.0)
    account = add_time(account, [0.8999, 1.0], 225.0)
    account = add_steps(account, -2)
    assert account == DayAccount("day", 0, 0.25, 0.75, 2)


def test_a_position_with_an_impossible_tap_is_refused() -> None:
    """A position kept for another transformer."""
    with pytest.raises(TapOutOfRange):
        ReplayedGrid(FEEDER, REPLAY, Position(0.0, 9, DayAccount("summer", 0)))
