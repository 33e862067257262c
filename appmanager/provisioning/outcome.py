"""What is said of a command: while it goes on, and when it has ended. Data."""

from __future__ import annotations

from dataclasses import dataclass

from appmanager.provisioning.machine import STEPS, End, Kind, Step
from appmanager.provisioning.plan import Order
from appmanager.store.record import Entry
from gridlink.errors import Refused


@dataclass(frozen=True, slots=True)
class Progress:
    """A step is begun, or a part of it is done. `percent`: of all steps; `done_bytes`, `of_bytes`: what a step moves.

    `waits`: why it doesn't go on now.
    """

    id: str
    module: str
    kind: Kind
    step: Step
    percent: int
    done_bytes: int = 0
    of_bytes: int = 0
    waits: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `step`: where it failed; `reason`: a sentence; `was`, `becomes`: versions."""

    id: str
    module: str
    kind: Kind
    end: End
    reason: str = ""
    step: Step | None = None
    was: str = ""
    becomes: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a command that was cut off. `resume`: an order to be carried out anew, from its beginning.

    `tried`: it had started a version, or given it a configuration, which is undone: what that did was not the old one.
    """

    outcome: Outcome | None
    resume: Order | None = None
    tried: bool = False


def outcome_of(entry: Entry) -> Outcome:
    """The outcome of a command that is on record. Raises Refused: it is of a kind that has none, as `stop`."""
    if entry.kind not in tuple(Kind):
        raise Refused(f"the id {entry.id} is that of another command ({entry.kind} {entry.module}): make a new one")
    return Outcome(entry.id, entry.module, Kind(entry.kind), End(entry.outcome), entry.reason)


def percent_of(kind: Kind, step: Step, done: float = 0.0) -> int:
    """How far a command is that is in a step, of which a part (0 to 1) is `done`."""
    steps = STEPS[kind]
    return int(100 * (steps.index(step) + done) / len(steps))
