"""Sums and percentiles of steps, against the plain list of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.node.footprint.steps import Steps

TIMES_NS = st.lists(st.integers(0, 3600 * 10**9), min_size=1, max_size=200)


@given(TIMES_NS, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_within_an_eighth(times_ns: list[int], part: float) -> None:
    """Never below the true one, and at most 1/8 above."""
    steps = Steps()
    for took_ns in times_ns:
        steps.add(took_ns)
    ranked = sorted(times_ns)
    true_ns = next(value for number, value in enumerate(ranked, start=1) if number >= part * len(ranked) - 1e-9)
    assert true_ns <= steps.percentile_ns(part) <= true_ns * 1.125 + 1


@given(TIMES_NS)
def test_the_sums_are_those_of_all_steps(times_ns: list[int]) -> None:
    """In seconds."""
    steps = Steps()
    for took_ns in times_ns:
        steps.add(took_ns)
    found = steps.summed()
    assert found.steps == len(times_ns)
    assert found.total_s == pytest.approx(sum(times_ns) / 1e9)
    assert found.mean_s == pytest.approx(sum(times_ns) / 1e9 / len(times_ns))
    assert found.longest_s == pytest.approx(max(times_ns) / 1e9)
    assert found.p99_s <= found.longest_s


def test_what_slept_is_no_cpu_time() -> None:
    """A step that blocks in `time.sleep` holds the loop, and uses no processor."""
    steps = Steps()
    steps.add(10**9)
    steps.slept_ns += 9 * 10**8
    assert steps.summed().total_s == 1.0
    assert steps.summed().cpu_s == pytest.approx(0.1)


def test_without_steps_all_is_nought() -> None:
    """A module that was not called."""
    found = Steps().summed()
    assert (found.steps, found.mean_s, found.p99_s, found.longest_s) == (0, 0.0, 0.0, 0.0)
