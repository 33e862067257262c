"""The states of an instance and the steps between them. Pure: a step not in the table raises IllegalTransition."""

from __future__ import annotations

from enum import StrEnum

from gridlink.errors import IllegalTransition


class State(StrEnum):
    """Where an instance is in its life."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    BACKOFF = "BACKOFF"  # ended on its own; waits to be started again
    FAILED = "FAILED"  # given up on until an operator acts


_NEXT: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.BACKOFF, State.FAILED}),
    State.RUNNING: frozenset({State.STOPPING, State.BACKOFF, State.FAILED}),
    State.STOPPING: frozenset({State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset({State.STARTING}),
    State.BACKOFF: frozenset({State.STARTING, State.STOPPED, State.FAILED}),
    State.FAILED: frozenset({State.STARTING, State.STOPPED}),
}


def advance(now: State, to: State) -> State:
    """`to`, if the table allows it after `now`."""
    if to not in _NEXT[now]:
        allowed = ", ".join(sorted(_NEXT[now]))
        raise IllegalTransition(f"an instance that is {now} can't become {to}; it can become {allowed}")
    return to
