"""What the live view knows of a site: fed with events and entries, it says what to show. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gridlink.registry import Entry

LOG_LINES = 200
SHOWN_PROBLEMS = 6
STALE_S = 900.0  # of site time: a meter that has said nothing for so long is in neither extreme


@dataclass(frozen=True, slots=True)
class Reading:
    """A meter's voltage, per unit of nominal, at a site time."""

    meter: str
    value_pu: float
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class Problem:
    """A limit that is crossed."""

    kind: str  # overVoltage or underVoltage
    meter: str
    limit: str
    limit_pu: float
    value_pu: float


@dataclass(slots=True)
class SiteView:
    """The site as it has been seen. A payload that isn't what a topic's contract says is passed over."""

    modules: list[Entry] = field(default_factory=list)
    tap: int | None = None
    operations: int | None = None
    problems: dict[tuple[str, str], Problem] = field(default_factory=dict)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    site_s: float | None = None
    speed: float = 1.0
    ending: bool = False
    _readings: dict[str, Reading] = field(default_factory=dict)

    def event(self, topic: str, type: str, payload: Any) -> None:
        """Takes an event in, of the topics measurement, voltage_problem and tap_position."""
        try:
            if (topic, type) == ("measurement", "voltage"):
                self._measured(payload)
            elif topic == "voltage_problem":
                self._problem(type, payload)
            elif (topic, type) == ("tap_position", "tapChanged"):
                self.tap_state(payload)
        except (KeyError, TypeError, ValueError):
            return  # another site's topic of the same name

    def tap_state(self, payload: Any) -> None:
        """Takes position and operations out of a `tapChanged` or of a reply of role oltc."""
        self.tap, self.operations = int(payload["position"]), int(payload["operations"])

    def _measured(self, payload: Any) -> None:
        reading = Reading(str(payload["meter"]), float(payload["value_pu"]), float(payload["timestamp_s"]))
        self._readings[reading.meter] = reading

    def _problem(self, type: str, payload: Any) -> None:
        key = (str(payload["meter"]), str(payload["limit"]))
        self.problems.pop(key, None)
        if type != "backToNormal":
            value_pu, limit_pu = float(payload["value_pu"]), float(payload["limit_pu"])
            self.problems[key] = Problem(type, *key, limit_pu, value_pu)

    def logged(self, lines: Iterable[str]) -> None:
        """Takes log lines in; the oldest go."""
        self.log.extend(line for line in lines if line.strip())

    def extremes(self) -> tuple[Reading, Reading] | None:
        """The lowest and the highest of the present voltages; None before the first."""
        if not self._readings:
            return None
        newest_s = max(one.timestamp_s for one in self._readings.values())
        present = [one for one in self._readings.values() if newest_s - one.timestamp_s < STALE_S]
        return min(present, key=lambda one: one.value_pu), max(present, key=lambda one: one.value_pu)

    def newest_problems(self) -> list[Problem]:
        """The open problems, the newest first, as many as are shown."""
        return list(self.problems.values())[: -SHOWN_PROBLEMS - 1 : -1]
