"""Which uninstall of a plan is said to close the last door to the outside."""

from __future__ import annotations

from gridlink.cli.applying import How, SitePlan, order_of
from gridlink.cli.difference import Step
from gridlink.cli.last_door import SAID, with_last_door
from tests.gridlink.cli.test_operate import entry

HERE = ("appmanager@a",)
GATE, WEB = entry("gate", "a", "gateway", HERE), entry("web", "a", "dashboard_interface", HERE)
FAR = entry("far", "b", "gateway", ("appmanager@b",))
LAMP, NO_GATE, NO_WEB = (Step("uninstall", name, {}, ("1.0.0",)) for name in ("lamp", "gate", "web"))


def test_the_last_door_that_goes_is_named_and_none_where_one_stays() -> None:
    """Of two that go the later one is the last."""
    assert with_last_door([NO_GATE], [GATE], "appmanager@a")[0].line == f"- uninstall gate 1.0.0, {SAID}"
    both = with_last_door([LAMP, NO_WEB, NO_GATE], [GATE, WEB], "appmanager@a")
    assert [step.module for step in both if SAID in step.reasons] == ["gate"]
    for doors in ([GATE, WEB], [GATE, FAR], []):
        assert with_last_door([LAMP, NO_GATE], doors, "appmanager@a") == (LAMP, NO_GATE)
    update = Step("update", "gate", {}, ("1.0.0 -> 1.1.0",))
    assert with_last_door([update], [GATE], "appmanager@a") == (update,)


def test_only_who_says_yes_asks_for_the_last_door_to_be_closed_and_that_is_another_command() -> None:
    """What was refused without it is not what is asked for then."""
    plan = SitePlan(entry("appmanager", "a", "appmanager"), (NO_GATE,), {})
    first, second = (order_of("a", plan, NO_GATE, How("auto", None, None, False, yes)) for yes in (False, True))
    assert (first["yes"], second["yes"]) == (False, True)
    assert first["id"] != second["id"]
