"""The messages of role oltc and topic tap_position, and what is read of role grid.

Field names are what is on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TapPosition:
    """Payload of `setTapPosition`, of role oltc and of role grid."""

    position: int


@dataclass(frozen=True, slots=True)
class LockOut:
    """Role oltc, payload of `lockOut`: why the tap changer must not move."""

    reason: str


@dataclass(frozen=True, slots=True)
class TapState:
    """Role oltc, the reply. While `moving`, `position` is the last step made, `target` where it ends."""

    position: int
    target: int
    min: int
    max: int
    moving: bool
    operations: int
    lockedOut: bool
    lockOutReason: str | None


@dataclass(frozen=True, slots=True)
class TapChanged:
    """Topic tap_position, `tapChanged`: one step was made.

    `operations` counts all of the mechanism's life.
    """

    position: int
    previous: int
    operations: int
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class GridTap:
    """What is read of role grid's replies."""

    tapPosition: int
