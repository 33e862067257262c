"""Which columns of a table have room on a terminal, so that a narrow one loses what matters least. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GAP = 2  # columns between two


def fitting(
    wanted: Mapping[str, int],
    width: int,
    *,
    worth: Sequence[str],
    shown: Sequence[str],
    least: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The columns that fit into `width`, in the order of `shown`, and their widths; `wanted`: what they would like.

    The first two of `worth` are always there; where they are too wide, the second, a name, is cut. The others come in
    this order. One that has a `least` may be cut to it, and takes what is left at the end.
    """
    least = least or {}
    first, name, *others = worth
    left = width - GAP
    room = {first: wanted[first], name: max(min(wanted[name], left - GAP - wanted[first]), 1)}
    left -= sum(room.values()) + GAP
    for column in others:
        needs = min(wanted[column], least.get(column, wanted[column]))
        if needs + GAP <= left:
            room[column] = needs
            left -= needs + GAP
    for column in least:
        if column in room:
            room[column], left = room[column] + left, 0
    return {column: room[column] for column in shown if column in room}
