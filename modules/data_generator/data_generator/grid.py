"""The replayed grid: where the replay stands, the tap position, voltages and accounts. Pure: time is told.

Voltages are constant between the ends of quarter hours and tap changes. `advance` walks from one to the next,
so the accounts are exact however late or seldom it is called.
"""

from __future__ import annotations

from msgspec import Struct

from data_generator.powerflow import Feeder, Solution, solve
from data_generator.profiles import Quarter, Replay
from data_generator.violations import KEPT_DAYS, DayAccount, add_steps, add_time


class TapOutOfRange(ValueError):
    """A tap position that the transformer does not have."""


class Position(Struct, frozen=True):
    """All that must be kept to continue a replay: seconds since its first midnight, tap, accounts."""

    elapsed_s: float
    tap: int
    account: DayAccount
    finished: tuple[DayAccount, ...] = ()


class ReplayedGrid:
    """A feeder, a replay and a position in it. `solution` always fits the position's quarter hour and tap."""

    def __init__(self, feeder: Feeder, replay: Replay, position: Position) -> None:
        """Start or continue a replay. Raises TapOutOfRange, PowerFlowDiverged."""
        self.feeder = feeder
        self._replay = replay
        self._check_tap(position.tap)
        self._position = position
        self._instant = replay.instant(position.elapsed_s)
        self.solution = self._solve()

    @property
    def position(self) -> Position:
        """Where the replay stands; a new grid made from it continues exactly here."""
        return self._position

    @property
    def quarter(self) -> Quarter:
        """The loads and the MV voltage that hold now."""
        return self._replay.quarter(self._instant)

    @property
    def solution_by_bus(self) -> dict[int, float]:
        """The voltage, in per unit, at each bus."""
        return dict(zip(self.feeder.buses, self.solution.voltages_pu, strict=True))

    def advance(self, elapsed_s: float) -> None:
        """Let the time run to `elapsed_s` after the first midnight. A time already passed changes nothing."""
        while self._position.elapsed_s < elapsed_s:
            ends_s = self._replay.quarter_ends_s(self._instant)
            self._run_to(min(ends_s, elapsed_s))
            if self._position.elapsed_s >= ends_s:
                self._next_quarter()

    def set_tap(self, elapsed_s: float, tap: int) -> None:
        """Move the tap changer at a time. Raises TapOutOfRange, and then nothing has changed."""
        self._check_tap(tap)
        self.advance(elapsed_s)
        now = self._position
        if tap != now.tap:
            self._position = Position(now.elapsed_s, tap, add_steps(now.account, tap - now.tap), now.finished)
            self.solution = self._solve()

    def _run_to(self, elapsed_s: float) -> None:
        now = self._position
        account = add_time(now.account, self.solution.voltages_pu, elapsed_s - now.elapsed_s)
        self._position = Position(elapsed_s, now.tap, account, now.finished)

    def _next_quarter(self) -> None:
        now = self._position
        self._instant = self._replay.instant(now.elapsed_s)
        if self._instant.day_number != now.account.day_number:
            finished = (*now.finished, now.account)[-KEPT_DAYS:]
            account = DayAccount(self._replay.day(self._instant).name, self._instant.day_number)
            self._position = Position(now.elapsed_s, now.tap, account, finished)
        self.solution = self._solve()

    def _solve(self) -> Solution:
        quarter = self.quarter
        return solve(self.feeder, quarter.loads_kva, quarter.mv_voltage_pu, self._position.tap)

    def _check_tap(self, tap: int) -> None:
        transformer = self.feeder.network.transformer
        if not transformer.tap_min <= tap <= transformer.tap_max:
            raise TapOutOfRange(
                f"expected a tap position from {transformer.tap_min} to {transformer.tap_max}, came {tap}; "
                "ask for one the transformer has"
            )


def first_position(replay: Replay, tap: int) -> Position:
    """The beginning of a replay: its first midnight, with the tap changer standing at `tap`."""
    return Position(0.0, tap, DayAccount(replay.days[0].name, 0))
