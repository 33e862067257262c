"""The reference solutions that travel in the wheel, and what a fixed tap position makes of the days."""

from pathlib import Path

import pytest

from gridlink.bench import references
from gridlink.bench.errors import BenchFailed
from gridlink.bench.grid import BAND, EN50160
from gridlink.bench.references import DAYS, Extremes

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("day", DAYS)
def test_the_wheels_references_are_the_repositorys(day: str) -> None:
    """Two copies of a truth drift apart unless something looks."""
    assert references.read(day) == references.read(day, DATA)


def test_a_day_has_a_solution_for_every_quarter_hour_and_tap() -> None:
    """96 quarter hours at 9 positions, or a missing one would count as good."""
    for day in DAYS:
        found = references.extremes(references.read(day))
        assert sorted(found) == list(range(-4, 5))
        assert {len(quarters) for quarters in found.values()} == {96}


@pytest.mark.parametrize(
    ("lowest", "highest", "outside"),
    [(0.95, 1.05, False), (0.9499, 1.0, True), (1.0, 1.0501, True), (0.9, 1.1, True)],
)
def test_the_limits_themselves_are_inside(lowest: float, highest: float, outside: bool) -> None:
    """As the data generator counts."""
    assert Extremes(lowest, highest).outside(0.95, 1.05) is outside


@pytest.mark.parametrize(
    ("quarter_hours", "expected"),
    [({-1: 5, 0: 3, 1: 4}, (0, 3)), ({-2: 1, 2: 1, 1: 1}, (1, 1)), ({-1: 0, 1: 0}, (-1, 0))],
)
def test_the_best_tap_is_the_one_with_the_fewest_outside(
    quarter_hours: dict[int, int], expected: tuple[int, int]
) -> None:
    """Of several as good, always the same one."""
    assert references.best(quarter_hours) == expected


def test_no_fixed_tap_keeps_the_days_within_the_limits() -> None:
    """What the closed loop has to beat: numbers of the references, known from elsewhere."""
    days = {day: references.extremes(references.read(day)) for day in DAYS}
    assert references.best_for_all(days, *EN50160)[1] == 10
    assert [references.best(references.outside_by_tap(days[day], *BAND))[1] for day in DAYS] == [17, 16]


def test_a_missing_reference_is_said_so(tmp_path: Path) -> None:
    """The file is named, and what to do."""
    with pytest.raises(BenchFailed, match=r"summer_reference\.csv.*restore"):
        references.read("summer", tmp_path)
