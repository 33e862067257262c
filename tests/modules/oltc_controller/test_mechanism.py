"""The mechanism makes single steps inside its range, counts them, and locks itself out when it is driven too
often.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oltc_controller.keeping import KeptUnreadable, decode, encode, read_kept, write_kept
from oltc_controller.mechanism import (
    Limits,
    Mechanism,
    MechanismRefused,
    Phase,
    at_rest,
    command,
    lock_out,
    next_position,
    release,
    stepped,
    stopped_at,
)

LIMITS = Limits(-4, 4, 12)


def driven(state: Mechanism, limits: Limits = LIMITS, now_s: float = 0.0) -> tuple[Mechanism, list[int]]:
    """Make all steps, 5 s each; returns the state at the end and the positions passed."""
    passed = []
    while (position := next_position(state)) is not None:
        now_s += 5.0
        state = stepped(state, limits, position, now_s)
        passed.append(position)
    return state, passed


def test_it_goes_step_by_step_in_both_directions() -> None:
    """A tap changer can't skip a position."""
    state, passed = driven(command(at_rest(0), LIMITS, 3))
    assert passed == [1, 2, 3]
    state, passed = driven(command(state, LIMITS, 1))
    assert passed == [2, 1]
    assert state.operations == 5
    assert state.phase is Phase.IDLE


@pytest.mark.parametrize("position", [-5, 5, 100])
def test_a_position_out_of_range_is_refused_with_the_range(position: int) -> None:
    """The operator learns what can be asked for."""
    with pytest.raises(MechanismRefused, match=f"from -4 to 4, came {position}"):
        command(at_rest(0), LIMITS, position)


def test_a_command_while_moving_changes_the_target() -> None:
    """The present step is finished, then the new target holds."""
    state = command(at_rest(0), LIMITS, 4)
    state = command(state, LIMITS, -1)
    state = stepped(state, LIMITS, 1, 5.0)
    assert state.target == -1
    assert driven(state)[1] == [0, -1]


def test_locked_out_it_refuses_and_says_why_and_what_to_do() -> None:
    """Who is refused must know how to go on."""
    state = lock_out(at_rest(2), "work on the transformer")
    assert state.phase is Phase.LOCKED_OUT
    with pytest.raises(MechanismRefused, match=r"work on the transformer.*release"):
        command(state, LIMITS, 1)
    assert command(release(state), LIMITS, 1).phase is Phase.MOVING


def test_a_lock_out_stops_the_drive_after_the_step_under_way() -> None:
    """The mechanism can't stand between two positions."""
    state = lock_out(command(at_rest(0), LIMITS, 3), "now")
    state = stepped(state, LIMITS, 1, 5.0)
    assert (state.position, state.target, state.operations) == (1, 1, 1)
    assert next_position(state) is None


def test_the_first_reason_of_a_lock_out_is_kept() -> None:
    """What happened first is what has to be looked at."""
    assert lock_out(lock_out(at_rest(0), "first"), "second").lock_out_reason == "first"


def test_one_operation_too_many_in_an_hour_locks_it_out() -> None:
    """A controller that hunts wears the contacts out in weeks."""
    limits = Limits(-4, 4, 3)
    state, passed = driven(command(at_rest(0), limits, 4), limits)
    assert passed == [1, 2, 3, 4]
    assert state.phase is Phase.LOCKED_OUT
    assert "4 operations within an hour, 3 are allowed" in (state.lock_out_reason or "")


def test_operations_older_than_an_hour_do_not_count() -> None:
    """Ten a day are what it is made for."""
    limits = Limits(-4, 4, 1)
    state = at_rest(0)
    for hour, position in enumerate([1, 2, 3, 4]):
        state = stepped(command(state, limits, position), limits, position, hour * 3600.0)
    assert state.phase is Phase.IDLE
    assert state.operations == 4


def test_after_a_release_the_hour_begins_anew() -> None:
    """Or the next step would lock it out again."""
    limits = Limits(-4, 4, 2)
    state, _ = driven(command(at_rest(0), limits, 3), limits)
    state, passed = driven(command(release(state), limits, 1), limits)
    assert passed == [2, 1]
    assert state.lock_out_reason is None
    assert state.operations == 5


def test_times_from_a_clock_that_was_set_back_are_dropped() -> None:
    """A replay that begins anew must not lock the mechanism out with times to come."""
    state = Mechanism(0, 1, 20, tuple(1e6 + i for i in range(12)))
    assert stepped(state, LIMITS, 1, 50.0).lock_out_reason is None


@given(st.lists(st.integers(-4, 4), max_size=30))
def test_it_always_arrives_and_counts_every_step(targets: list[int]) -> None:
    """For any commands, given enough operations an hour."""
    limits = Limits(-4, 4, 10_000)
    state, steps = at_rest(0), 0
    for target in targets:
        steps += abs(target - state.position)
        state, passed = driven(command(state, limits, target), limits)
        assert state.position == target
        assert all(-4 <= position <= 4 for position in passed)
    assert state.operations == steps


def test_counter_and_lock_out_survive_and_a_step_under_way_does_not(tmp_path: Path) -> None:
    """A lock-out that a restart lifts would be none; a drive goes on only by a new command."""
    state = lock_out(Mechanism(2, 4, 41, (5.0, 10.0)), "work")
    path = tmp_path / "mechanism.json"
    assert read_kept(path) is None
    (path.parent / f".{path.name}.0123456789ab").write_bytes(b"of a process that was killed")
    write_kept(path, encode(state))
    assert list(path.parent.iterdir()) == [path]
    assert decode(read_kept(path) or "") == Mechanism(2, 2, 41, (5.0, 10.0), "work")
    assert decode(encode(command(at_rest(0), LIMITS, 3))).target == 0


@pytest.mark.parametrize("text", ["", "{}", '{"format": 9}', "[]"])
def test_a_kept_state_that_was_spoilt_is_refused(text: str) -> None:
    """The controller begins anew and says so instead of dying at each start."""
    with pytest.raises(KeptUnreadable):
        decode(text)


def test_a_drive_that_stopped_has_no_target_left() -> None:
    """After a failed step nothing moves by itself."""
    assert next_position(stopped_at(command(at_rest(0), LIMITS, 3), 1)) is None


@pytest.mark.parametrize("wrong", [(4, 4, 1), (5, -5, 1), (-4, 4, 0)])
def test_limits_that_make_no_sense_are_refused(wrong: tuple[int, int, int]) -> None:
    """Named with what was expected, for an operator wrote them."""
    with pytest.raises(ValueError, match="expected"):
        Limits(*wrong)
