"""The state machine of a command: its steps, and what follows when one is done, fails, or is cut off. Pure.

A command is in one of its steps, or has ended. Until COMMIT is written down, whatever goes wrong leads back to the old
version; from then on the new one is there to stay, and what is left is done again until it is done.
"""

from __future__ import annotations

from enum import StrEnum

from gridlink.errors import IllegalTransition


class Kind(StrEnum):
    """What an operator can ask for."""

    INSTALL = "install"
    UPDATE = "update"
    CONFIGURE = "configure"
    UNINSTALL = "uninstall"
    ROLLBACK = "rollback"


class Step(StrEnum):
    """What a command is doing. Its record is durable before it is begun."""

    RECEIVE = "receive"  # the file comes, from the control centre or this machine
    STAGE = "stage"  # verified and unpacked beside what runs
    PREFLIGHT = "preflight"  # imported by a process of its own; contracts, libraries, memory
    SNAPSHOT = "snapshot"  # intake is held, handlers finish, the state is kept
    STOP = "stop"  # the module ends
    SWITCH = "switch"  # the directories change places
    START = "start"  # the new version goes on with the state
    WATCH = "watch"  # the health window
    COMMIT = "commit"  # written down: the new version stays
    TIDY = "tidy"  # what is not needed any more is removed
    UNDO = "undo"  # back to the old version


class End(StrEnum):
    """How a command ended."""

    DONE = "done"  # what a failing TIDY left is removed at the next start
    REFUSED = "refused"  # nothing that runs was touched
    ROLLED_BACK = "rolled back"  # the old version and its state are back
    BROKEN = "broken"  # the disk takes neither the one nor the other: the next start mends it


class Event(StrEnum):
    """What happens to a step."""

    OK = "done"
    FAILED = "failed"
    CUT = "power cut"  # seen at the next start


State = Step | End

_BUNDLE = (Step.SWITCH, Step.START, Step.WATCH, Step.COMMIT, Step.TIDY)
STEPS: dict[Kind, tuple[Step, ...]] = {
    Kind.INSTALL: (Step.RECEIVE, Step.STAGE, Step.PREFLIGHT, *_BUNDLE),
    Kind.UPDATE: (Step.RECEIVE, Step.STAGE, Step.PREFLIGHT, Step.SNAPSHOT, *_BUNDLE),
    Kind.ROLLBACK: (Step.PREFLIGHT, Step.SNAPSHOT, *_BUNDLE),
    Kind.CONFIGURE: (Step.STAGE, Step.PREFLIGHT, *_BUNDLE),
    Kind.UNINSTALL: (Step.STOP, Step.SWITCH, Step.COMMIT, Step.TIDY),
}
TOUCHES = frozenset({Step.SNAPSHOT, Step.STOP, Step.SWITCH, Step.START, Step.WATCH})
"""From the first of these on, what runs has been touched: going back is a roll-back, and no mere refusal."""


def _table() -> dict[tuple[Kind, State, Event], State]:
    found: dict[tuple[Kind, State, Event], State] = {}
    for kind, steps in STEPS.items():
        committed = steps.index(Step.COMMIT)
        for at, step in enumerate(steps):
            found[kind, step, Event.OK] = steps[at + 1] if at + 1 < len(steps) else End.DONE
            if at >= committed:  # a COMMIT fails where nobody knows whether it is on the disk
                found[kind, step, Event.FAILED] = End.BROKEN if at == committed else End.DONE
                found[kind, step, Event.CUT] = Step.TIDY
            else:
                touched = any(before in TOUCHES for before in steps[: at + 1])
                found[kind, step, Event.FAILED] = Step.UNDO if touched else End.REFUSED
                found[kind, step, Event.CUT] = step if step is Step.RECEIVE else found[kind, step, Event.FAILED]
        found[kind, Step.UNDO, Event.OK] = End.ROLLED_BACK
        found[kind, Step.UNDO, Event.FAILED] = End.BROKEN
        found[kind, Step.UNDO, Event.CUT] = Step.UNDO
    return found


TABLE = _table()


def advance(kind: Kind, state: State, event: Event) -> State:
    """What a command of that kind is in after an event. Raises IllegalTransition: a defect in the caller."""
    found = TABLE.get((kind, state, event))
    if found is None:
        raise IllegalTransition(f"{kind}: nothing follows {event!r} in {state!r}")
    return found


def first(kind: Kind) -> Step:
    """The step that a command begins with."""
    return STEPS[kind][0]
