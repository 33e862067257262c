"""The closed loop of the use case without a bus: guard, handler, mechanism and grid in simulated site time.

Every hop (measurement to storage and guard, guard to handler, request, reply) takes a latency drawn anew; the
pure cores are the ones the modules run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from data_generator.configuration import delivered_feeder, delivered_replay
from data_generator.grid import ReplayedGrid, first_position
from data_generator.profiles import DAY_S
from data_generator.violations import DayAccount
from oltc_controller import mechanism
from voltage_guard.hysteresis import Crossing, Limits
from voltage_guard.watch import Watch
from voltage_problem_handler.decision import Decision, Outcome, Reading, Settings, Situation, Tap, decide
from voltage_problem_handler.history import Sample, TapChange
from voltage_problem_handler.problems import OpenProblems, Problem
from voltage_problem_handler.situation import assess, fresh, needed_history

LIMITS = (Limits("en50160", 0.90, 1.10, 0.002), Limits("operating", 0.95, 1.05, 0.002))


def replayed_grid(tap: int = 0, days: tuple[str, ...] = ("summer", "winter")) -> ReplayedGrid:
    """The delivered network at the first midnight of the delivered days."""
    feeder = delivered_feeder()
    replay = delivered_replay(feeder, days)
    return ReplayedGrid(feeder, replay, first_position(replay, tap))


@dataclass
class Loop:
    """One run. Latencies are drawn from `latency_s` (lowest, highest) a hop, in seconds of site time."""

    grid: ReplayedGrid
    latency_s: tuple[float, float] = (1.0, 5.0)
    publish_every_s: float = 60.0
    step_s: float = 5.0
    settings: Settings = field(default_factory=Settings)
    limits: mechanism.Limits = field(default_factory=mechanism.Limits)
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = count()
        self._now = 0.0
        self._watch = Watch(LIMITS)
        self._problems = OpenProblems()
        self._stored: dict[str, list[Sample]] = {}
        self._changes: list[TapChange] = []
        self._handling = False
        self._driving = False
        self.mechanism = mechanism.at_rest(self.grid.position.tap)
        self.decisions: list[tuple[float, Decision]] = []

    def run(self, until_s: float) -> tuple[DayAccount, ...]:
        """Run until a time; returns the accounts of the days finished by then and the one under way."""
        self._at(0.0, self._publish)
        while self._events and self._events[0][0] <= until_s:
            self._now, _, event = heapq.heappop(self._events)
            event()
        self.grid.advance(until_s)
        return (*self.grid.position.finished, self.grid.position.account)

    def _at(self, time_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._ties), event))

    def _hop(self, event: Callable[[], None]) -> None:
        self._at(self._now + self._random.uniform(*self.latency_s), event)

    def _publish(self) -> None:
        self.grid.advance(self._now)
        taken_s = self._now
        for bus, value in self.grid.solution_by_bus.items():
            self._hop(partial(self._measured, f"bus_{bus}", value, taken_s))
        self._at((self._now // self.publish_every_s + 1) * self.publish_every_s, self._publish)

    def _measured(self, meter: str, value: float, taken_s: float) -> None:
        samples = self._stored.setdefault(meter, [])
        samples.append(Sample(value, taken_s))
        del samples[:-40]
        for report in self._watch.measured(meter, value, taken_s):
            self._hop(partial(self._reported, meter, value, taken_s, report.crossing, report.limits))

    def _reported(self, meter: str, value: float, taken_s: float, crossing: Crossing, limit: str) -> None:
        if crossing is Crossing.BACK_TO_NORMAL:
            self._problems.ended(meter, limit)
            return
        self._problems.reported(Problem(meter, limit, value, taken_s))
        if not self._handling:
            self._handling = True
            self._hop(self._consider)

    def _consider(self) -> None:
        if not len(self._problems):
            self._handling = False
            return
        decision = decide(self.settings, self._situation())
        self.decisions.append((self._now, decision))
        if decision.outcome is Outcome.MOVE and decision.target is not None:
            target = decision.target
            self._hop(lambda: self._command(target))
        self._at(self._now + decision.check_in_s + self._random.uniform(*self.latency_s), self._consider)

    def _situation(self) -> Situation:
        known = [Reading(m, s[-1].value_pu, s[-1].timestamp_s) for m, s in self._stored.items()]
        readings = fresh(self.settings, self._now, known)
        histories = {meter: self._stored[meter] for meter in needed_history(readings)}
        state = self.mechanism
        changed_s = self._changes[-1].timestamp_s if self._changes else None
        tap = Tap(state.position, -4, 4, self._driving, state.lock_out_reason, changed_s)
        return assess(self.settings, self._now, readings, histories=histories, tap=tap, changes=self._changes)

    def _command(self, target: int) -> None:
        try:
            self.mechanism = mechanism.command(self.mechanism, self.limits, target)
        except mechanism.MechanismRefused:
            return
        if not self._driving:
            self._driving = True
            self._drive()

    def _drive(self) -> None:
        position = mechanism.next_position(self.mechanism)
        self._driving = position is not None
        if position is not None:
            self._at(self._now + self.step_s + self._random.uniform(*self.latency_s), lambda: self._step(position))

    def _step(self, position: int) -> None:
        self.grid.set_tap(self._now, position)
        self._changes.append(TapChange(self.mechanism.position, position, self._now))
        self.mechanism = mechanism.stepped(self.mechanism, self.limits, position, self._now)
        self._drive()


def two_days(tap: int = 0, **options: object) -> tuple[DayAccount, DayAccount, Loop]:
    """Summer then winter, starting at a tap position: the accounts of both days, and the loop for more
    questions.
    """
    loop = Loop(replayed_grid(tap), **options)  # type: ignore[arg-type]
    summer, winter, *_ = loop.run(2 * DAY_S)
    return summer, winter, loop
