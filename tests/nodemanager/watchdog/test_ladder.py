"""What is done about a step that holds the loop, and when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gridlink.config import read_json, typed
from gridlink.errors import ConfigInvalid
from nodemanager.watchdog.ladder import Ladder, Rung, next_sample_s
from nodemanager.watchdog.limits import STARTING, Limits, Mode, WatchdogSetting, starting

LIMITS = Limits(warn_s=0.25, interrupt_s=0.5)


def climbed(mode: Mode, *held_s: float) -> list[Rung]:
    """The rungs of one step that is looked at again and again."""
    ladder = Ladder()
    return [ladder.climb(held, LIMITS, mode) for held in held_s]


def test_it_is_named_once_then_interrupted_until_it_is_over() -> None:
    """A module that swallows the exception meets the next."""
    rungs = climbed("interrupt", 0.1, 0.25, 0.3, 0.5, 0.55, 5.0)
    assert rungs == [Rung.WAIT, Rung.NAME, Rung.WAIT, Rung.INTERRUPT, Rung.INTERRUPT, Rung.INTERRUPT]


def test_warn_does_no_more_than_name_it() -> None:
    """However long it takes."""
    assert climbed("warn", 0.3, 0.6, 100.0) == [Rung.NAME, Rung.WAIT, Rung.WAIT]


def test_move_gives_up_on_what_can_not_be_interrupted() -> None:
    """Once: where nobody replaces the node, it goes on interrupting."""
    rungs = climbed("move", 0.3, 0.5, 0.9, 1.0, 1.1)
    assert rungs == [Rung.NAME, Rung.INTERRUPT, Rung.INTERRUPT, Rung.GIVE_UP, Rung.INTERRUPT]


def test_the_next_look_is_when_the_next_limit_is_met() -> None:
    """Not later, and not much sooner: each look costs."""
    assert next_sample_s(0.0, LIMITS, "move") == pytest.approx(0.05)
    assert next_sample_s(0.23, LIMITS, "move") == pytest.approx(0.02)
    assert next_sample_s(60.0, LIMITS, "move") == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"warn_s": 0.01}, "warn_s: expected 0.05 to 3600 seconds, got 0.01"),
        ({"warn_s": 1.0, "interrupt_s": 0.5}, "interrupt_s: expected warn_s (1.0) to 3600 seconds, got 0.5"),
        ({"modules": {"storage": {"warn_s": 2.0}}}, "modules.storage.interrupt_s"),
        ({"offences": -1}, "offences of 0 or more"),
        ({"mode": "kill"}, "mode"),
        ({"modules": {"storage": {"limit": 1}}}, "unknown setting 'modules.storage.limit'"),
    ],
)
def test_limits_that_can_not_be_kept_are_refused(document: Mapping[str, object], named: str) -> None:
    """Before anything is started, with the name of the setting."""
    with pytest.raises(ConfigInvalid, match=r"watchdog\.json") as refused:
        typed(document, WatchdogSetting, "watchdog.json").check("watchdog.json")
    assert named in str(refused.value)


def test_each_module_has_its_own_limits() -> None:
    """And the watchdog looks as often as the shortest one asks for."""
    setting = WatchdogSetting(modules={"solver": Limits(2.0, 4.0)})
    assert setting.shortest_warn_s == 0.25
    assert (setting.limits("solver").give_up_s, setting.limits("other").give_up_s) == (8.0, 1.0)
    assert (setting.limits("solver").interrupt_s, setting.limits("other").interrupt_s) == (4.0, 0.5)


def test_the_delivered_limits_of_a_board_can_be_kept() -> None:
    """They are copied as they are."""
    file = Path(__file__).parents[3] / "configs" / "board" / "watchdog.json"
    typed(read_json(file), WatchdogSetting, str(file)).check(str(file))


@pytest.mark.parametrize(
    ("within_s", "running", "expected"),
    [
        (0.0, Limits(), STARTING),
        (1.5, Limits(), Limits(0.5, 1.0)),
        (8.0, Limits(), Limits(3.75, 7.5)),
        (1.5, Limits(5.0, 10.0), Limits(5.0, 10.0)),
    ],
)
def test_a_start_for_which_another_version_waits_is_interrupted_before_that_gives_up(
    within_s: float, running: Limits, expected: Limits
) -> None:
    """Its node goes back in what is left; a module that may compute for long while it runs may do so then, too."""
    assert starting(within_s, running) == expected
