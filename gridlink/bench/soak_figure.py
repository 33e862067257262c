"""One line of the tables of `gridlink bench soak` and `modules`: what was measured, and what it may be at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """`measured` in `unit`; `limit` is the most it may be, None for a figure that is told and not judged."""

    what: str
    measured: float
    unit: str
    limit: float | None = None

    @property
    def held(self) -> bool | None:
        """Whether it is within its limit; None where it has none."""
        return None if self.limit is None else self.measured <= self.limit

    def row(self) -> dict[str, Any]:
        """Itself as plain JSON types."""
        return {
            "what": self.what,
            "measured": self.measured,
            "unit": self.unit,
            "limit": self.limit,
            "held": self.held,
        }
