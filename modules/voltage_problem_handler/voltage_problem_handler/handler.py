"""The voltage problem handler: while a problem is open, has the pure core decide what to do.

One task handles; events only note problems and wake it. A role that is absent is reported once and asked
again at the next look, never hammered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeVar

from msgspec import Struct

from gridlink import GridlinkError, Module, Refused, every, request, subscribe
from voltage_problem_handler.api import (
    DataPointQuery,
    GuardStatus,
    HandlerStatus,
    LastDecision,
    Measurements,
    MeasurementsQuery,
    MostRecent,
    OpenProblem,
    TapChanged,
    TapPosition,
    TapState,
    VoltageProblem,
)
from voltage_problem_handler.decision import Decision, Outcome, Reading, Settings, Situation, Tap, decide
from voltage_problem_handler.history import Sample, TapChange
from voltage_problem_handler.problems import OpenProblems, Problem
from voltage_problem_handler.situation import assess, fresh, needed_history

R = TypeVar("R")
REPORTED = (Outcome.LOCKED_OUT, Outcome.NO_BETTER_TAP)
METERS = tuple(f"bus_{bus}" for bus in range(1, 15))


class Config(Struct, frozen=True):
    """The meters whose voltages are asked of role storage, how to decide, and how long (real seconds) to wait
    for a role.
    """

    meters: tuple[str, ...] = METERS
    decision: Settings = Settings()
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field, where nothing could be decided."""
        if not self.meters:
            raise ValueError("meters: expected one or more, came none; name them")
        if not self.timeout_s > 0.0:
            raise ValueError(f"timeout_s: expected more than 0, came {self.timeout_s}; raise it")


class HandlerState(Struct, frozen=True):
    """What the next instance goes on from: with the steps of the tap changer it understands the history."""

    problems: list[OpenProblem]
    changes: list[TapChange]
    moves: int
    last: LastDecision | None


class VoltageProblemHandler(Module[Config]):
    """Decides, from measurements and their history, where the tap changer has to be."""

    roles = ("voltage_problem_handler",)

    def __init__(self) -> None:
        """Begin without problems."""
        self._problems = OpenProblems()
        self._changes: deque[TapChange] = deque(maxlen=64)
        self._wake = asyncio.Event()
        self._moves = 0
        self._last: LastDecision | None = None
        self._trouble: str | None = None

    async def snapshot(self) -> HandlerState:
        """What is open, and what was done about it."""
        return HandlerState(self._open(), list(self._changes), self._moves, self._last)

    async def restore(self, state: HandlerState) -> None:
        """Go on from there."""
        self._problems.replace([Problem(p.meter, p.limit, p.value_pu, p.since_s) for p in state.problems])
        self._changes.extend(state.changes)
        self._moves, self._last = state.moves, state.last

    async def start(self) -> None:
        """Begin to handle; problems that are open already are asked of the guard."""
        if len(self._problems):
            self._wake.set()
        self.tasks.spawn(self._handle(), name="handle")

    @subscribe("voltage_problem", "overVoltage")
    async def on_over_voltage(self, problem: VoltageProblem) -> None:
        """Note the problem and look at it."""
        self._note(problem)

    @subscribe("voltage_problem", "underVoltage")
    async def on_under_voltage(self, problem: VoltageProblem) -> None:
        """Note the problem and look at it."""
        self._note(problem)

    @subscribe("voltage_problem", "backToNormal")
    async def on_back_to_normal(self, problem: VoltageProblem) -> None:
        """Take the problem back."""
        self._problems.ended(problem.meter, problem.limit)

    @subscribe("tap_position", "tapChanged")
    async def on_tap_changed(self, changed: TapChanged) -> None:
        """Remember the step: measurements before it were taken at another tap."""
        self._changes.append(TapChange(changed.previous, changed.position, changed.timestamp_s))

    @request("status")
    async def status(self) -> HandlerStatus:
        """What is open, what was decided last, and what keeps us from acting."""
        return HandlerStatus(self._open(), self._moves, self._last, self._trouble)

    def _open(self) -> list[OpenProblem]:
        return [OpenProblem(p.meter, p.limit, p.value_pu, p.since_s) for p in self._problems]

    @every(seconds=900)
    async def resync(self) -> None:
        """Take the guard's list of problems for ours: an event may have been lost, or the guard restarted."""
        try:
            status = await self.bus.request(
                "voltage_guard", "status", reply=GuardStatus, timeout_s=self.config.timeout_s
            )
        except GridlinkError as error:
            self.log.debug("role voltage_guard does not answer: %s", error)
            return
        self._problems.replace([Problem(p.meter, p.limit, p.value_pu, p.since_s) for p in status.problems])
        if len(self._problems):
            self._wake.set()

    def _note(self, problem: VoltageProblem) -> None:
        if self._problems.reported(Problem(problem.meter, problem.limit, problem.value_pu, problem.timestamp_s)):
            self._wake.set()

    async def _handle(self) -> None:
        await self.resync()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while len(self._problems):
                await self.clock.sleep(await self._look())

    async def _look(self) -> float:
        """Look once and act; returns after how much site time to look again."""
        settings = self.config.decision
        try:
            decision = decide(settings, await self._situation())
        except GridlinkError as error:
            self._in_trouble(str(error))
            return settings.check_every_s
        self._decided(decision)
        self._trouble = decision.reason if decision.outcome in REPORTED else None
        if decision.target is not None:
            return await self._move(decision.target)
        return decision.check_in_s

    async def _move(self, target: int) -> float:
        """Have the tap changer move; returns after how much site time to look again."""
        try:
            await self._ask("oltc", "setTapPosition", TapPosition(target), TapState)
        except GridlinkError as error:
            self._in_trouble(str(error))
            settings = self.config.decision
            return settings.locked_out_check_s if isinstance(error, Refused) else settings.check_every_s
        self._moves += 1
        return self.config.decision.check_every_s

    async def _situation(self) -> Situation:
        """Ask for all that a decision depends on. Raises GridlinkError when a role does not answer."""
        state = await self._ask("oltc", "getTapPosition", None, TapState)
        known = [reading for meter in self.config.meters if (reading := await self._reading(meter)) is not None]
        readings = fresh(self.config.decision, self.clock.now(), known)
        histories = {meter: await self._history(meter) for meter in needed_history(readings)}
        changed_s = self._changes[-1].timestamp_s if self._changes else None
        reason = (state.lockOutReason or "no reason told") if state.lockedOut else None
        tap = Tap(state.position, state.min, state.max, state.moving, reason, changed_s)
        return assess(
            self.config.decision,
            self.clock.now(),
            readings,
            histories=histories,
            tap=tap,
            changes=self._changes,
        )

    async def _reading(self, meter: str) -> Reading | None:
        """A meter's most recent voltage; None for one that storage does not know yet."""
        try:
            recent = await self._ask("storage", "getMostRecentValue", DataPointQuery(f"{meter}.voltage_pu"), MostRecent)
        except Refused as error:
            self.log.debug("%s: %s", meter, error)
            return None
        return Reading(meter, recent.value, recent.timestamp_s)

    async def _history(self, meter: str) -> list[Sample]:
        now_s = self.clock.now()
        query = MeasurementsQuery(f"{meter}.voltage_pu", now_s - self.config.decision.history_s, now_s)
        stored = await self._ask("storage", "getMeasurements", query, Measurements)
        return [Sample(each.value, each.timestamp_s) for each in stored.measurements]

    async def _ask(self, role: str, type_: str, payload: object, reply: type[R]) -> R:
        return await self.bus.request(role, type_, payload, reply=reply, timeout_s=self.config.timeout_s)

    def _decided(self, decision: Decision) -> None:
        before, outcome = self._last, decision.outcome.value
        self._last = LastDecision(outcome, decision.target, decision.reason, self.clock.now())
        if decision.outcome is Outcome.MOVE:
            self.log.info("%s", decision.reason)
        elif decision.outcome in REPORTED and (before is None or before.outcome != outcome):
            self.log.warning("%s: %s", outcome, decision.reason)

    def _in_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.log.warning("can't act on %s open problems: %s", len(self._problems), trouble)
        self._trouble = trouble
