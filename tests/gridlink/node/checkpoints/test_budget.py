"""How much checkpoints may write to flash."""

from __future__ import annotations

from gridlink.node.checkpoints.budget import DAY_S, FlashBudget, cost_bytes

DAY = 86400 * 4096  # a block a second


def test_a_write_costs_whole_blocks_and_the_directory() -> None:
    """Flash knows no less."""
    assert [cost_bytes(size) for size in (0, 1, 4096, 4097)] == [4096, 8192, 8192, 12288]


def test_a_day_of_writing_as_often_as_it_is_asked_for_stays_within_the_budget() -> None:
    """Whatever a module's state does."""
    budget = FlashBudget(DAY, 0.0)
    taken = sum(budget.take(20_000, float(second)) for second in range(int(DAY_S)))
    assert budget.written_bytes == taken * cost_bytes(20_000)
    assert DAY * 0.95 <= budget.written_bytes <= DAY * 1.05


def test_what_is_not_used_is_saved_up_for_an_hour() -> None:
    """After a quiet night not all of it is spent in a minute."""
    budget = FlashBudget(DAY, 0.0)
    at_once = 0
    while budget.take(4096, 10 * DAY_S):
        at_once += 1
    assert at_once == 3600 * 4096 // cost_bytes(4096)


def test_a_large_one_waits_for_its_turn_and_gets_it() -> None:
    """One that costs more than can be saved up must not wait for ever."""
    budget = FlashBudget(DAY // 100, 0.0)
    assert budget.take(1_000_000, 0.0)
    assert not budget.take(1, 60.0)
    assert budget.take(1, 5 * 3600.0) or budget.take(1, 10 * 3600.0)
