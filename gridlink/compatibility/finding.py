"""What became of a contract from one version to the next: one finding a change. Data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Whether somebody who keeps to the old version can go on."""

    COMPATIBLE = "compatible"
    BREAKS = "breaks"


class Concerns(Enum):
    """Whom a change reaches."""

    CALLERS = "callers"  # by what they send with a request
    READERS = "readers"  # callers, by the reply they read
    SUBSCRIBERS = "subscribers"


@dataclass(frozen=True, slots=True)
class Finding:
    """One change. `address`: `role storage`; `path`: a JSON path in the payload or reply; `reason`: a sentence."""

    severity: Severity
    concerns: Concerns
    address: str
    type: str
    path: str
    reason: str

    @property
    def breaks(self) -> bool:
        """Whether somebody who keeps to the old version is broken."""
        return self.severity is Severity.BREAKS


@dataclass(frozen=True, slots=True)
class BrokenUser:
    """A module that uses what is broken: its name, and why."""

    module: str
    finding: Finding
