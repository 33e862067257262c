"""What the live view shows, from events alone."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from gridlink.cli.view_model import SiteView
from gridlink.cli.view_render import render
from gridlink.lifecycle import State
from gridlink.registry import Entry


def entry(name: str, state: State = State.RUNNING, reason: str = "") -> Entry:
    """An instance of the registry."""
    return Entry(f"{name}", f"{name}@n", "n", "m", 1, "1.0.0", "node", state, reason, roles=(name,))


def voltage(meter: str, value_pu: float, timestamp_s: float = 0.0) -> dict[str, Any]:
    """An event's payload."""
    return {"meter": meter, "value_pu": value_pu, "timestamp_s": timestamp_s}


def problem(meter: str, limit: str = "operating") -> dict[str, Any]:
    """An event's payload."""
    return {"meter": meter, "value_pu": 1.07, "limit_pu": 1.05, "limit": limit, "timestamp_s": 0.0}


def text_of(view: SiteView, width: int = 100, height: int = 30) -> list[str]:
    """The picture as lines."""
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(render(view, "site s1", width, height))
    return capture.get().splitlines()


def test_the_extremes_are_those_of_the_meters_that_still_speak() -> None:
    """A meter that broke at noon isn't the lowest voltage for the rest of the day."""
    view = SiteView()
    assert view.extremes() is None
    for one in (voltage("bus_1", 0.5, 0.0), voltage("bus_2", 1.01, 2000.0), voltage("bus_3", 0.99, 2000.0)):
        view.event("measurement", "voltage", one)
    extremes = view.extremes()
    assert extremes is not None
    assert [one.meter for one in extremes] == ["bus_3", "bus_2"]


def test_a_problem_is_open_until_its_own_limit_is_back_to_normal() -> None:
    """A meter can be outside of two limits at once."""
    view = SiteView()
    view.event("voltage_problem", "overVoltage", problem("bus_1"))
    view.event("voltage_problem", "overVoltage", problem("bus_1", "en50160"))
    view.event("voltage_problem", "backToNormal", problem("bus_1", "en50160"))
    assert [(one.meter, one.limit) for one in view.newest_problems()] == [("bus_1", "operating")]


@pytest.mark.parametrize("payload", [None, [], {}, "x", {"meter": 1}, {"position": None, "operations": 1}])
@pytest.mark.parametrize(
    "kind", [("measurement", "voltage"), ("voltage_problem", "overVoltage"), ("tap_position", "tapChanged")]
)
def test_what_is_not_the_contract_is_passed_over(kind: tuple[str, str], payload: Any) -> None:
    """Another site may use the same words."""
    view = SiteView()
    view.event(*kind, payload)
    assert (view.extremes(), view.problems, view.tap) == (None, {}, None)


def test_the_picture_has_all_parts() -> None:
    """What an operator looks for."""
    view = SiteView(modules=[entry("storage"), entry("oltc", State.FAILED, "no disk")], site_s=0.0, speed=288)
    view.event("measurement", "voltage", voltage("bus_3", 0.9312))
    view.event("tap_position", "tapChanged", {"position": -2, "operations": 7})
    view.event("voltage_problem", "overVoltage", problem("bus_1"))
    view.logged(["2026 INFO x: said"])
    picture = "\n".join(text_of(view))
    for part in ("site time 1970-01-01 00:00 (288 x)", "oltc@n", "FAILED", "no disk", "lowest 0.9312 pu at bus_3",
                 "-2   7 operations", "over 1.05 pu (operating): 1.0700 at bus_1", "INFO x: said"):  # fmt: skip
        assert part in picture


def test_a_site_without_a_grid_shows_modules_only() -> None:
    """Gridlink hosts anything."""
    picture = "\n".join(text_of(SiteView(modules=[entry("probe")])))
    assert "probe@n" in picture
    assert "voltage" not in picture
    assert "problems" not in picture


@pytest.mark.parametrize("height", [12, 24, 50])
def test_the_picture_fits_the_terminal_whatever_there_is(height: int) -> None:
    """Fifty modules, twenty problems, and a log that never ends."""
    view = SiteView(modules=[entry(f"m{number}", reason="long " * 90) for number in range(50)], tap=1, operations=2)
    for number in range(20):
        view.event("measurement", "voltage", voltage(f"bus_{number}", 1.0))
        view.event("voltage_problem", "overVoltage", problem(f"bus_{number}"))
    view.logged([f"line {number} " * 40 for number in range(500)])
    lines = text_of(view, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100])
def test_a_narrow_terminal_cuts_names_and_keeps_the_state(width: int) -> None:
    """What an operator looks for is whether it runs; where it doesn't, why."""
    view = SiteView()
    long = "voltage_problem_handler_of_the_west"
    view.modules = [entry("storage"), entry(long), entry("oltc", State.FAILED, "no device at /dev/ttyUSB0")]
    header, *lines = text_of(view, width=width)[2:6]
    assert header.split()[:2] == ["module", "state"]
    assert [line.split()[1] for line in lines] == ["RUNNING", "RUNNING", "FAILED"]
    assert all(len(line.rstrip()) <= width for line in lines)
    assert lines[1].startswith("voltage_problem_handler")
    assert ("reason" in header) == (width >= 80)


def test_a_reason_comes_before_mode_version_and_roles() -> None:
    """A long one leaves them room, where there is some."""
    view = SiteView()
    view.modules = [entry("oltc", State.FAILED, "no device at /dev/ttyUSB0: connect it")]
    assert "no device at /dev/tty…" in text_of(view, width=40)[3]
    assert text_of(view, width=40)[2].split() == ["module", "state", "reason"]
    assert text_of(view, width=100)[2].split() == ["module", "state", "mode", "version", "roles", "reason"]
