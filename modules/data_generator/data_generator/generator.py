"""The data generator: leads the site's clock, replays the grid, publishes its measurements.

All decisions are the pure core's.

The replay's time is the site clock's. What the grid did up to now is worked out whenever somebody looks, so
nothing is lost when the module wakes late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from data_generator.api import DayCounters, GridState, Power, TapPosition, Voltage
from data_generator.configuration import Config, delivered_feeder, delivered_replay
from data_generator.grid import Position, ReplayedGrid, TapOutOfRange, first_position
from data_generator.keeping import KeptUnreadable, decode, encode, read_kept, write_kept
from data_generator.profiles import DAY_S, Replay
from data_generator.violations import DayAccount
from gridlink import GridlinkError, Module, Refused, Topic, request

KEEP_EVERY_S = 3600.0
"""Site time between two writes of the position; tap changes are kept at once. Flash wears."""


class DataGenerator(Module[Config]):
    """Replays measured days on a real low-voltage grid, whose tap changer can be moved."""

    roles = ("grid",)
    publishes = (Topic("measurement", voltage=Voltage, power=Power),)

    async def start(self) -> None:
        """Continue the kept replay or begin one; from here on the site clock is the replay's."""
        feeder = delivered_feeder()
        replay = delivered_replay(feeder, self.config.days)
        self._start_s = self.config.start_s()
        self._replay_name = f"{self.config.start} {' '.join(self.config.days)}"
        self._grid = ReplayedGrid(feeder, replay, self._continued(replay))
        self._powered = [(bus, i) for i, bus in enumerate(feeder.buses) if bus in feeder.network.meters]
        self._keeping = asyncio.Lock()
        self._kept_s = self._grid.position.elapsed_s
        self._silent = False
        self.clock.lead(self._start_s + self._resumed_s(), self.config.speed)
        self.tasks.spawn(self._replay(), name="replay")

    async def stop(self) -> None:
        """Keep the position, so that the next start goes on from here."""
        self._advance()
        await self._keep()

    async def configure(self, old: Config, new: Config) -> None:
        """Take a new speed and period at once. Raises Refused for what only a new replay can take."""
        if (old.start, old.days, old.tap_at_start) != (new.start, new.days, new.tap_at_start):
            raise Refused(
                "expected start, days and tap_at_start as they are, came others; they hold for a whole "
                "replay: set them and restart the module"
            )
        if old.speed != new.speed:
            self.clock.lead(self.clock.now(), new.speed)

    @request("getState")
    async def get_state(self) -> GridState:
        """The grid now, and the counters."""
        self._advance()
        return self._state()

    @request("setTapPosition")
    async def set_tap_position(self, wanted: TapPosition) -> GridState:
        """Move the tap changer, at once; its mechanism's time is the controller's business."""
        try:
            self._grid.set_tap(self._elapsed_s(), wanted.position)
        except TapOutOfRange as error:
            raise Refused(str(error)) from error
        await self._keep()
        return self._state()

    async def _replay(self) -> None:
        while True:
            self._advance()
            await self._publish()
            if self._grid.position.elapsed_s - self._kept_s >= KEEP_EVERY_S:
                await self._keep()
            every_s = self.config.publish_every_s
            elapsed_s = self._elapsed_s()
            await self.clock.sleep(((elapsed_s + 0.5) // every_s + 1.0) * every_s - elapsed_s)

    async def _publish(self) -> None:
        """Publish what all meters measure now; a bus that is away costs these values, not the replay."""
        try:
            for voltage in self._voltages():
                await self.bus.publish("measurement", "voltage", voltage)
            for power in self._powers():
                await self.bus.publish("measurement", "power", power)
        except GridlinkError as error:
            if not self._silent:
                self.log.warning("measurements can't be published: %s", error)
            self._silent = True
        else:
            self._silent = False

    def _voltages(self) -> Iterator[Voltage]:
        timestamp_s = self._start_s + self._grid.position.elapsed_s
        values = list(self._grid.solution_by_bus.items())
        return (Voltage(f"bus_{bus}", round(value, 6), timestamp_s) for bus, value in values)

    def _powers(self) -> Iterator[Power]:
        timestamp_s = self._start_s + self._grid.position.elapsed_s
        loads = self._grid.quarter.loads_kva
        return (Power(f"bus_{bus}", loads[i].real, loads[i].imag, timestamp_s) for bus, i in self._powered)

    def _elapsed_s(self) -> float:
        return self.clock.now() - self._start_s

    def _advance(self) -> None:
        self._grid.advance(self._elapsed_s())

    def _continued(self, replay: Replay) -> Position:
        path = self.data_dir / "position.json"
        try:
            text = read_kept(path)
            kept = None if text is None else decode(text, self._replay_name)
        except (KeptUnreadable, OSError) as error:
            self.log.error("the replay begins anew, its kept position can't be used: %s", error)  # noqa: TRY400
            kept = None
        return kept or first_position(replay, self.config.tap_at_start)

    def _resumed_s(self) -> float:
        """Where to go on: at the kept position; at the site's time if that ran on without us, up to a day."""
        kept_s = self._grid.position.elapsed_s
        led = self.clock.leader != ""
        ran_on = led and 0.0 < kept_s <= self._elapsed_s() <= kept_s + DAY_S
        return self._elapsed_s() if ran_on else kept_s

    async def _keep(self) -> None:
        """Write the position. A disk that fails is reported; the replay goes on."""
        async with self._keeping:
            position = self._grid.position
            text = encode(position, self._replay_name)
            try:
                await asyncio.to_thread(write_kept, self.data_dir / "position.json", text)
            except OSError as error:
                self.log.error("the replay's position can't be kept: %s", error)  # noqa: TRY400
            self._kept_s = position.elapsed_s

    def _state(self) -> GridState:
        position, voltages = self._grid.position, self._grid.solution_by_bus
        lowest, highest = min(voltages, key=voltages.__getitem__), max(voltages, key=voltages.__getitem__)
        return GridState(
            timestamp_s=self._start_s + position.elapsed_s,
            day=position.account.day,
            dayNumber=position.account.day_number,
            tapPosition=position.tap,
            lowest_pu=voltages[lowest],
            lowestMeter=f"bus_{lowest}",
            highest_pu=voltages[highest],
            highestMeter=f"bus_{highest}",
            transformerLoading_percent=self._grid.solution.transformer_loading_percent,
            outsideEn50160_quarterHours=position.account.outside_en50160_quarter_hours,
            outsideBand_quarterHours=position.account.outside_band_quarter_hours,
            tapSteps=position.account.tap_steps,
            days=[_counters(account) for account in position.finished],
        )


def _counters(account: DayAccount) -> DayCounters:
    return DayCounters(
        account.day,
        account.day_number,
        account.outside_en50160_quarter_hours,
        account.outside_band_quarter_hours,
        account.tap_steps,
    )
