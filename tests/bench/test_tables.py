"""The tables for people: each number of a report is there, and what shares a process says so."""

from typing import Any

from rich.console import Console

from gridlink.bench.memory import Measured, report
from gridlink.cli.bench import _grid_table, _memory_table
from tests.bench.test_memory import takes

GRID: dict[str, Any] = {
    "power_flow": {"max_error_pu": 5.8e-7, "solutions": 1728, "buses": 14, "solution_ms": 0.042},
    "days": [
        {
            "day": "summer",
            "outside_en50160_quarter_hours": 0.0,
            "outside_band_quarter_hours": 0.494,
            "tap_steps": 5,
            "best_fixed_tap": 1,
            "best_fixed_outside_band_quarter_hours": 17,
        }
    ],
    "fixed_tap_both_days": 1,
    "fixed_tap_both_days_outside_en50160_quarter_hours": 10,
}


def shown(table: Any) -> str:
    """The table as a terminal of 120 columns shows it."""
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_of_memory_says_what_is_in_the_node() -> None:
    """A module without a figure of its own must not look as if it took nothing."""
    node = Measured({1: "guardian", 3: "node"}, {1: takes(2.5), 3: takes(18)}, (), 12.25 * 1024 * 1024)
    text = shown(_memory_table(report({"node": node}, 60.0)))
    assert "20.5" in text
    assert "in node" in text
    assert "12.2 MiB" in text


def test_the_table_of_the_grid_shows_each_day_beside_the_best_fixed_tap() -> None:
    """What is promised, and what it is compared with."""
    text = shown(_grid_table(GRID))
    assert "summer" in text
    assert "0.49" in text
    assert "17 (tap +1)" in text
    assert "10 quarter hours outside EN 50160" in text
