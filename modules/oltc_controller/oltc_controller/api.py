"""The messages of role oltc and topic tap_position, and what is read of role grid.

Field names are what is on the wire.
"""

from __future__ import annotations

from msgspec import Struct


class TapPosition(Struct, frozen=True):
    """Payload of `setTapPosition`, of role oltc and of role grid."""

    position: int


class LockOut(Struct, frozen=True):
    """Role oltc, payload of `lockOut`: why the tap changer must not move."""

    reason: str


class TapState(Struct, frozen=True):
    """Role oltc, the reply. While `moving`, `position` is the last step made, `target` where it ends."""

    position: int
    target: int
    min: int
    max: int
    moving: bool
    operations: int
    lockedOut: bool
    lockOutReason: str | None


class TapChanged(Struct, frozen=True):
    """Topic tap_position, `tapChanged`: one step was made.

    `operations` counts all of the mechanism's life.
    """

    position: int
    previous: int
    operations: int
    timestamp_s: float


class GridTap(Struct, frozen=True):
    """What is read of role grid's replies."""

    tapPosition: int
