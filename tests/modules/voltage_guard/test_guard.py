"""The guard as others see it: events of topic voltage_problem, and its status."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from gridlink import Module, subscribe
from gridlink.testing import eventually
from tests.modules.voltage_problem_handler.site import Site, open_site
from voltage_guard.api import VoltageProblem
from voltage_guard.guard import Config


class Listener(Module[None]):
    """Collects what is published, with its type."""

    heard: ClassVar[list[tuple[str, VoltageProblem]]] = []

    async def start(self) -> None:
        self.heard.clear()

    @subscribe("voltage_problem", "overVoltage")
    async def on_over(self, problem: VoltageProblem) -> None:
        self.heard.append(("overVoltage", problem))

    @subscribe("voltage_problem", "underVoltage")
    async def on_under(self, problem: VoltageProblem) -> None:
        self.heard.append(("underVoltage", problem))

    @subscribe("voltage_problem", "backToNormal")
    async def on_back(self, problem: VoltageProblem) -> None:
        self.heard.append(("backToNormal", problem))


async def measure(site: Site, value_pu: float, timestamp_s: float) -> None:
    """Publish one voltage of bus_3."""
    await site.tell("measurement", "voltage", {"meter": "bus_3", "value_pu": value_pu, "timestamp_s": timestamp_s})


async def test_crossings_are_published_in_order_and_once(tmp_path: Path) -> None:
    """Type, limit, value and time, as the contract says."""
    async with open_site(tmp_path) as site:
        await site.run(Listener, "listener")
        await site.start("voltage_guard")
        for number, value in enumerate([1.0, 1.06, 1.06, 1.11, 1.0, 0.94]):
            await measure(site, value, float(number))

        async def all_heard() -> bool:
            return len(Listener.heard) >= 5

        await eventually(all_heard)
        status = await site.ask("voltage_guard", "status")
    assert [(type_, p.limit, p.limit_pu, p.timestamp_s) for type_, p in Listener.heard] == [
        ("overVoltage", "operating", 1.05, 1.0),
        ("overVoltage", "en50160", 1.10, 3.0),
        ("backToNormal", "en50160", 1.10, 4.0),
        ("backToNormal", "operating", 1.05, 4.0),
        ("underVoltage", "operating", 0.95, 5.0),
    ]
    assert (status["meters"], status["events"]) == (1, 5)
    assert [(p["meter"], p["side"], p["since_s"]) for p in status["problems"]] == [("bus_3", "under", 5.0)]


async def test_new_limits_hold_from_the_next_measurement_on(tmp_path: Path) -> None:
    """A configuration change needs no restart, and forgets nothing."""
    async with open_site(tmp_path) as site:
        await site.run(Listener, "listener")
        await site.start("voltage_guard")
        await measure(site, 1.06, 1.0)

        async def heard() -> bool:
            return len(Listener.heard) == 1

        await eventually(heard)
        await site.configure("voltage_guard", {"operating_upper_pu": 1.07})
        await measure(site, 1.06, 2.0)

        async def taken_back() -> bool:
            return [type_ for type_, _ in Listener.heard] == ["overVoltage", "backToNormal"]

        await eventually(taken_back)


async def test_what_was_reported_is_not_reported_again_by_the_next_instance(tmp_path: Path) -> None:
    """Also with other limits; the way back is not lost either, and hysteresis goes on."""
    async with open_site(tmp_path, states=True) as site:
        await site.run(Listener, "listener")
        await site.start("voltage_guard")
        await measure(site, 1.06, 1.0)
        await eventually(lambda: len(Listener.heard) == 1)
        await site.stop("voltage_guard")
        await site.start("voltage_guard")
        before = await site.ask("voltage_guard", "status")
        await measure(site, 1.06, 2.0)
        await measure(site, 1.049, 3.0)  # inside, but not by the hysteresis
        await measure(site, 1.0, 4.0)
        await eventually(lambda: len(Listener.heard) == 2)
        status = await site.ask("voltage_guard", "status")
    assert [(type_, p.timestamp_s) for type_, p in Listener.heard] == [("overVoltage", 1.0), ("backToNormal", 4.0)]
    assert [(p["meter"], p["side"], p["since_s"]) for p in before["problems"]] == [("bus_3", "over", 1.0)]
    assert (status["meters"], status["events"], status["problems"]) == (1, 2, [])


@pytest.mark.parametrize("wrong", [{"operating_upper_pu": 1.2}, {"en50160_lower_pu": 1.2}, {"hysteresis_pu": 0.5}])
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    """Before the module starts with it."""
    with pytest.raises(ValueError, match="expected"):
        Config(**wrong)
