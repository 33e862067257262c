"""The tap changer's mechanism as a state machine: one step at a time, counted, guarded by a lock-out.

Pure: time is told.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

HOUR_S = 3600.0


class Phase(Enum):
    """What the mechanism is doing."""

    IDLE = "idle"
    MOVING = "moving"
    LOCKED_OUT = "locked out"


class MechanismRefused(ValueError):
    """A command the mechanism does not follow. The text says what was expected, what came and what to do."""


class Limits(Struct, frozen=True):
    """What the mechanism may do: its end positions, and how many operations within an hour."""

    min_position: int = -4
    max_position: int = 4
    max_operations_per_hour: int = 12

    def __post_init__(self) -> None:
        """Raises ValueError when there is no position to take or no operation allowed."""
        if self.min_position >= self.max_position:
            raise ValueError(
                f"tap range: expected min < max, came {self.min_position} and {self.max_position}; "
                "correct the configuration"
            )
        if self.max_operations_per_hour < 1:
            raise ValueError(
                f"max_operations_per_hour: expected 1 or more, came {self.max_operations_per_hour}; "
                "correct the configuration"
            )


class Mechanism(Struct, frozen=True):
    """The state. `recent_s` are the times of the last hour's operations; moving means position != target."""

    position: int
    target: int
    operations: int = 0
    recent_s: tuple[float, ...] = ()
    lock_out_reason: str | None = None

    @property
    def phase(self) -> Phase:
        """Locked out, moving or idle; a lock-out goes before."""
        if self.lock_out_reason is not None:
            return Phase.LOCKED_OUT
        return Phase.IDLE if self.position == self.target else Phase.MOVING


def at_rest(position: int) -> Mechanism:
    """A mechanism that stands at a position and has not moved yet."""
    return Mechanism(position, position)


def command(state: Mechanism, limits: Limits, position: int) -> Mechanism:
    """Aim for a position. One that moves already finishes its present step, then aims for the new one.

    Raises MechanismRefused when locked out, or when the position is out of range.
    """
    if state.lock_out_reason is not None:
        raise MechanismRefused(
            f"expected a tap changer that may move, came one locked out ({state.lock_out_reason}); "
            "send release to role oltc first"
        )
    if not limits.min_position <= position <= limits.max_position:
        raise MechanismRefused(
            f"expected a tap position from {limits.min_position} to {limits.max_position}, came {position}; "
            "ask for one in range"
        )
    return replace(state, target=position)


def next_position(state: Mechanism) -> int | None:
    """The position of the next single step, or None when nothing is to be done."""
    if state.phase is not Phase.MOVING:
        return None
    return state.position + (1 if state.target > state.position else -1)


def stepped(state: Mechanism, limits: Limits, position: int, now_s: float) -> Mechanism:
    """The state after a step to `position` was made at `now_s`: counted, and locked out after too many.

    A step that was under way when a lock-out came is counted too; the target is then the position.
    """
    recent = (*(t for t in state.recent_s if 0.0 <= now_s - t < HOUR_S), now_s)
    moved = replace(state, position=position, operations=state.operations + 1, recent_s=recent)
    if state.lock_out_reason is None and len(recent) > limits.max_operations_per_hour:
        return lock_out(moved, f"{len(recent)} operations within an hour, {limits.max_operations_per_hour} are allowed")
    return moved if state.lock_out_reason is None else replace(moved, target=position)


def stopped_at(state: Mechanism, position: int) -> Mechanism:
    """The state after the drive stopped where the grid says it stands: no target is left."""
    return replace(state, position=position, target=position)


def lock_out(state: Mechanism, reason: str) -> Mechanism:
    """Stay where it is until released.

    An earlier lock-out keeps its reason: the first one is what happened.
    """
    if state.lock_out_reason is not None:
        return state
    return replace(state, target=state.position, lock_out_reason=reason)


def release(state: Mechanism) -> Mechanism:
    """Allow movement again; the hour's count begins anew, or the next step would lock it out again."""
    return replace(state, target=state.position, recent_s=(), lock_out_reason=None)
