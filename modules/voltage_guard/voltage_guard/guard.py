"""The voltage guard: watches measured voltages and publishes each crossing of a limit, once.

The pure core judges.
"""

from __future__ import annotations

from msgspec import Struct

from gridlink import Module, Topic, request, subscribe
from voltage_guard.api import GuardStatus, OpenProblem, Voltage, VoltageProblem
from voltage_guard.hysteresis import Limits, Side
from voltage_guard.watch import OpenProblem as Known
from voltage_guard.watch import TooManyMeters, Watch


class Config(Struct, frozen=True):
    """The limits, in per unit: EN 50160's, and the narrower ones the substation is to be operated in.

    hysteresis_pu: how far inside a limit a voltage must be to be back to normal.
    """

    en50160_lower_pu: float = 0.90
    en50160_upper_pu: float = 1.10
    operating_lower_pu: float = 0.95
    operating_upper_pu: float = 1.05
    hysteresis_pu: float = 0.002

    def __post_init__(self) -> None:
        """Raises ValueError when a pair is not in order, or the operating band is wider than EN 50160's."""
        en50160, operating = self.limits()
        if operating.lower_pu < en50160.lower_pu or operating.upper_pu > en50160.upper_pu:
            raise ValueError(
                f"operating limits: expected within {en50160.lower_pu} to {en50160.upper_pu} pu, "
                f"came {operating.lower_pu} to {operating.upper_pu}; correct the configuration"
            )

    def limits(self) -> tuple[Limits, Limits]:
        """The limits by name, the most severe first."""
        return (
            Limits("en50160", self.en50160_lower_pu, self.en50160_upper_pu, self.hysteresis_pu),
            Limits("operating", self.operating_lower_pu, self.operating_upper_pu, self.hysteresis_pu),
        )


class GuardState(Struct, frozen=True):
    """What the next instance goes on from: what was reported and is not over, so that it isn't reported again."""

    meters: list[str]
    events: int
    problems: list[OpenProblem]


class VoltageGuard(Module[Config]):
    """Watches measured voltages and reports each crossing of a limit, and the way back."""

    roles = ("voltage_guard",)
    publishes = (
        Topic(
            "voltage_problem",
            overVoltage=VoltageProblem,
            underVoltage=VoltageProblem,
            backToNormal=VoltageProblem,
        ),
    )

    def __init__(self) -> None:
        """Begin with no meter known: what is outside is reported at its next measurement."""
        self._watch = Watch(self.config.limits())
        self._events = 0
        self._refusing = False

    async def snapshot(self) -> GuardState:
        """What was reported and is not over."""
        return GuardState(sorted(self._watch.seen), self._events, self._problems())

    async def restore(self, state: GuardState) -> None:
        """Go on from there; the next measurement of each meter settles what has happened meanwhile."""
        problems = [Known(p.meter, p.limit, Side(p.side), p.limit_pu, p.value_pu, p.since_s) for p in state.problems]
        self._watch = Watch(self.config.limits(), state.meters, problems)
        self._events = state.events

    async def configure(self, old: Config, new: Config) -> None:
        """Take new limits; the next measurement of each meter is judged by them."""
        self._watch = self._watch.relimited(new.limits())

    @subscribe("measurement", "voltage")
    async def on_voltage(self, voltage: Voltage) -> None:
        """Judge one measurement and publish what it crossed."""
        try:
            reports = self._watch.measured(voltage.meter, voltage.value_pu, voltage.timestamp_s)
        except TooManyMeters as error:
            if not self._refusing:
                self.log.warning("%s", error)
            self._refusing = True
            return
        for report in reports:
            self._events += 1
            problem = VoltageProblem(
                voltage.meter, voltage.value_pu, report.limit_pu, report.limits, voltage.timestamp_s
            )
            await self.bus.publish("voltage_problem", report.crossing.value, problem)

    @request("status")
    async def status(self) -> GuardStatus:
        """What is outside now."""
        return GuardStatus(self._watch.meters, self._events, self._problems())

    def _problems(self) -> list[OpenProblem]:
        return [
            OpenProblem(p.meter, p.limits, p.side.value, p.value_pu, p.limit_pu, p.since_s)
            for p in self._watch.problems
        ]
