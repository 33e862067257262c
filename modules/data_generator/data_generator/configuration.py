"""The data generator's configuration, valid once it is made, and the delivered data it names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data_generator.network import load_network
from data_generator.powerflow import Feeder, prepare
from data_generator.profiles import Replay, load_day

DATA = Path(__file__).parent / "data"
KNOWN_DAYS = ("summer", "winter")


@dataclass(frozen=True, slots=True)
class Config:
    """What is replayed, and how fast.

    speed: site seconds in a real second; 288 replays a day in five minutes. start: the replay's first
    midnight, ISO 8601 (UTC where no offset is given). days: replayed one after the other, then again.
    publish_every_s: site seconds between two measurements of a meter. tap_at_start: where the tap changer
    stands when a replay begins; 0 is the neutral position, as such a transformer is delivered.
    """

    speed: float = 288.0
    start: str = "2026-05-20T00:00:00+00:00"
    days: tuple[str, ...] = KNOWN_DAYS
    publish_every_s: float = 60.0
    tap_at_start: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field, for what can't be replayed."""
        if not 0.0 < self.speed <= 100_000.0:
            raise ValueError(f"speed: expected more than 0 up to 100000 site seconds a second, came {self.speed}")
        if not 1.0 <= self.publish_every_s <= 86_400.0:
            raise ValueError(f"publish_every_s: expected 1 to 86400 s, came {self.publish_every_s}")
        if not self.days or not set(self.days) <= set(KNOWN_DAYS):
            raise ValueError(f"days: expected one or more of {', '.join(KNOWN_DAYS)}, came {list(self.days)}")
        self.start_s()

    def start_s(self) -> float:
        """The first midnight in Unix seconds. Raises ValueError when it is no ISO date-time."""
        try:
            start = datetime.fromisoformat(self.start)
        except ValueError as error:
            raise ValueError(
                f"start: expected an ISO date-time like 2026-05-20T00:00:00+00:00, came {self.start!r}"
            ) from error
        return (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()


def delivered_feeder() -> Feeder:
    """The delivered network, ready to be solved. Raises NetworkError when its file was spoilt."""
    return prepare(load_network((DATA / "network.json").read_text(encoding="utf-8")))


def delivered_replay(feeder: Feeder, days: tuple[str, ...] = KNOWN_DAYS) -> Replay:
    """The delivered days, loads in the feeder's order. Raises ProfileError when a file was spoilt."""
    return Replay(
        tuple(load_day(day, (DATA / f"{day}_day.csv").read_text(encoding="utf-8"), feeder.buses) for day in days)
    )
