"""The data generator as others see it: measurements, the grid's role, the site's clock, and what a restart keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from data_generator.api import Power, Voltage
from data_generator.configuration import Config
from gridlink import Module, Refused, subscribe
from gridlink.errors import ConfigInvalid
from gridlink.testing import eventually
from tests.modules.voltage_problem_handler.site import open_site

START_S = Config().start_s()


class Listener(Module[None]):
    """Collects what is published."""

    voltages: ClassVar[list[Voltage]] = []
    powers: ClassVar[list[Power]] = []

    async def start(self) -> None:
        self.voltages.clear()
        self.powers.clear()

    @subscribe("measurement", "voltage")
    async def on_voltage(self, voltage: Voltage) -> None:
        self.voltages.append(voltage)

    @subscribe("measurement", "power")
    async def on_power(self, power: Power) -> None:
        self.powers.append(power)


async def test_every_meter_publishes_each_period_of_site_time(tmp_path: Path) -> None:
    """All 14 voltages, the 13 metered powers, stamped with site time a period apart."""
    async with open_site(tmp_path) as site:
        await site.run(Listener, "listener")
        await site.start("data_generator", speed=2880.0)

        async def published() -> bool:
            return len(Listener.powers) >= 3 * 13

        await eventually(published)
        stamps = sorted({voltage.timestamp_s for voltage in Listener.voltages[: 3 * 14]})
        meters = {voltage.meter for voltage in Listener.voltages}
        metered = {power.meter for power in Listener.powers}
    assert meters == {f"bus_{bus}" for bus in range(1, 15)}
    assert meters - metered == {"bus_4"}
    assert START_S <= stamps[0] < START_S + 30
    assert [round((stamp - START_S) / 60) for stamp in stamps] == [0, 1, 2]
    assert all(1.0 < voltage.value_pu < 1.05 for voltage in Listener.voltages)


async def test_it_leads_the_sites_clock(tmp_path: Path) -> None:
    """Every module's time is the replay's."""
    async with open_site(tmp_path) as site:
        await site.start("data_generator", speed=100.0)
        assert site.clock.leader == "data_generator@test"
        assert site.clock.speed == 100.0
        assert START_S <= site.clock.now() < START_S + 1000


async def test_the_tap_is_moved_and_the_state_tells_it(tmp_path: Path) -> None:
    """The reply is the grid after the change."""
    async with open_site(tmp_path) as site:
        await site.start("data_generator")
        before = await site.ask("grid", "getState")
        after = await site.ask("grid", "setTapPosition", {"position": 2})
    assert (before["tapPosition"], after["tapPosition"], after["tapSteps"]) == (0, 2, 2)
    assert after["highest_pu"] < before["highest_pu"] - 0.04
    assert (after["day"], after["days"]) == ("summer", [])


async def test_a_tap_position_out_of_range_is_refused_with_the_range(tmp_path: Path) -> None:
    """The sender reads what can be asked for."""
    async with open_site(tmp_path) as site:
        await site.start("data_generator")
        with pytest.raises(Refused, match="from -4 to 4, came 7"):
            await site.ask("grid", "setTapPosition", {"position": 7})


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Site time, tap position and counters; on a node whose clock was never led as well."""
    async with open_site(tmp_path) as site:
        await site.start("data_generator", speed=28800.0)
        await site.ask("grid", "setTapPosition", {"position": 1})

        async def next_day() -> bool:
            return bool((await site.ask("grid", "getState"))["dayNumber"] == 1)

        await eventually(next_day)
        await site.stop("data_generator")
        stopped_s = site.clock.now()
    async with open_site(tmp_path) as site:
        await site.start("data_generator", speed=1.0)
        state = await site.ask("grid", "getState")
    assert START_S + 86_400 <= state["timestamp_s"] <= stopped_s + 60
    assert (state["dayNumber"], state["tapPosition"], state["tapSteps"]) == (1, 1, 0)
    assert [(day["day"], day["tapSteps"]) for day in state["days"]] == [("summer", 1)]


async def test_site_time_does_not_run_back_when_only_the_module_restarts(tmp_path: Path) -> None:
    """Others have gone on meanwhile; measurements of a second past would contradict the first."""
    async with open_site(tmp_path) as site:
        await site.start("data_generator", speed=2880.0)
        await site.ask("grid", "setTapPosition", {"position": 1})
        await site.stop("data_generator")
        gone_on_to_s = site.clock.now() + 300.0
        await site.clock.sleep_until(gone_on_to_s)
        await site.start("data_generator", speed=2880.0)
        assert site.clock.now() >= gone_on_to_s


async def test_a_spoilt_position_begins_the_replay_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the site runs."""
    (tmp_path / "data_generator").mkdir()
    (tmp_path / "data_generator" / "position.json").write_text("{spoilt")
    async with open_site(tmp_path) as site:
        await site.start("data_generator", tap_at_start=-1)
        state = await site.ask("grid", "getState")
    assert state["tapPosition"] == -1
    assert "begins anew" in caplog.text


async def test_speed_changes_while_running_and_the_replay_does_not(tmp_path: Path) -> None:
    """A new speed holds from now on; another start would tear the accounts apart."""
    async with open_site(tmp_path) as site:
        await site.start("data_generator", speed=288.0)
        before_s = site.clock.now()
        await site.configure("data_generator", {"speed": 10.0})
        assert site.clock.speed == 10.0
        assert 0.0 <= site.clock.now() - before_s < 300.0
        with pytest.raises(ConfigInvalid, match="restart the module"):
            await site.configure("data_generator", {"speed": 20.0, "days": ["winter"]})
        assert site.clock.speed == 10.0
