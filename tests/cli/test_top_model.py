"""What `gridlink top` makes of two looks, and how it fits a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gridlink.cli.columns import GAP, fitting
from gridlink.cli.top_model import Look, module_rows, ordered, process_rows
from gridlink.cli.top_render import MODULE_CELLS, render
from gridlink.lifecycle import State
from gridlink.node.footprint.process import ProcessFootprint
from gridlink.node.footprint.report import ModuleFootprint, NodeFootprint
from gridlink.node.footprint.steps import LoopTime
from gridlink.registry import Entry

MIB = 1024 * 1024


def entry(name: str, state: State = State.RUNNING, pid: int = 1) -> Entry:
    """An instance of the registry."""
    return Entry(name, f"{name}@n", "n", "m", pid, "1.0.0", "node", state)


def module(
    name: str, cpu_s: float = 0.0, messages: int = 0, steps: int = 10, threads_s: float = 0.0
) -> ModuleFootprint:
    """What a node says of it."""
    loop = LoopTime(steps, cpu_s, cpu_s, 0.001, 0.004, 0.005)
    return ModuleFootprint(f"{name}@n", loop, threads_s, messages, 2, 8.0)


def process(cpu_s: float = 0.0, pss_mib: float | None = 20.0, pid: int = 1) -> ProcessFootprint:
    """What a node says of its process."""
    pss = None if pss_mib is None else int(pss_mib * MIB)
    return ProcessFootprint("n", pid, 120.0, cpu_s, 3, 30 * MIB, pss, pss, 5 * MIB, 3600.0 * MIB)


def look(at_s: float, *modules: ModuleFootprint, cpu_s: float = 0.0, pid: int = 1) -> Look:
    """One node's answer."""
    own = LoopTime(int(at_s), at_s / 20, at_s / 20, 0.001, 0.002, 0.003)
    return Look(at_s, {"n": NodeFootprint("n", at_s, own, (process(cpu_s, pid=pid),), modules)})


def test_rates_are_those_between_two_looks() -> None:
    """Of the loop and of the threads; messages a second."""
    before, now = look(10.0, module("a", 1.0, 100)), look(12.0, module("a", 1.4, 150, steps=20, threads_s=0.2))
    (row,) = module_rows([entry("a")], before, now)
    assert row.cpu_percent == pytest.approx(30.0)
    assert row.messages_per_s == pytest.approx(25.0)
    assert (row.mean_ms, row.p99_ms, row.longest_ms) == (1.0, 4.0, 5.0)
    assert (row.errors, row.declared_mib, row.pss_mib, row.shares_process_with) == (2, 8.0, 20.0, 0)


def test_a_module_that_was_restarted_has_no_rate_until_the_next_look() -> None:
    """Its counters are younger than the last look: the difference would be nonsense."""
    (row,) = module_rows([entry("a")], look(10.0, module("a", 1.0, 100)), look(11.0, module("a", 0.1, 3, steps=1)))
    assert (row.messages_per_s, row.cpu_percent) == (None, None)


def test_a_node_that_does_not_answer_leaves_its_modules_without_numbers() -> None:
    """They are in the list all the same, with their state."""
    (row,) = module_rows([entry("a", State.FAILED, pid=0)], Look(1.0), Look(2.0))
    assert (row.state, row.cpu_percent, row.pss_mib, row.errors) == ("FAILED", None, None, None)


def test_a_module_that_did_nothing_has_no_mean() -> None:
    """Zero would look like a very fast one."""
    (row,) = module_rows([entry("a")], look(1.0, module("a", steps=0)), look(2.0, module("a", steps=0)))
    assert (row.cpu_percent, row.mean_ms, row.p99_ms) == (0.0, None, None)


def test_a_process_has_its_rates_and_what_it_writes_a_day() -> None:
    """And none of its predecessor's."""
    before = look(10.0, cpu_s=1.0)
    (row,) = process_rows([entry("a")], before, look(12.0, cpu_s=1.5))
    assert row.cpu_percent == pytest.approx(25.0)
    assert row.own_percent == pytest.approx(5.0)
    assert (row.machine, row.pss_mib, row.rss_mib, row.written_mib_per_day) == ("m", 20.0, 30.0, 3600.0)
    (other,) = process_rows([entry("a")], before, look(12.0, cpu_s=0.1, pid=2))
    assert other.cpu_percent is None


def test_rows_are_ordered_and_what_is_unknown_comes_last() -> None:
    """The largest first, names from a to z; inverted, the other way round."""
    before = look(0.0, module("a"), module("b"), module("c"))
    now = look(1.0, module("a", 0.1), module("b", 0.3), module("c", 0.2))
    rows = module_rows([entry(name) for name in "abcd"], before, now)

    def names(column: str, inverted: bool = False) -> str:
        return "".join(row.name for row in ordered(rows, column, inverted=inverted))

    assert names("cpu_percent") == "bcad"
    assert names("cpu_percent", inverted=True) == "acbd"
    assert (names("instance"), names("instance", inverted=True)) == ("abcd", "dcba")


def text_of(width: int, height: int, modules: int = 9, **options: Any) -> list[str]:
    """The picture as lines."""
    entries = [entry(f"module_with_a_long_name_{n}", State.FAILED if n == 8 else State.RUNNING) for n in range(modules)]
    measured = [module(one.name, n / 10, n) for n, one in enumerate(entries)]
    rows = module_rows(entries, look(0.0, *(module(one.name) for one in entries)), look(1.0, *measured))
    processes = process_rows(entries, look(0.0), look(1.0))
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(render("site s", rows, processes, options.get("sort", "cpu"), False, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize("height", [12, 16, 24, 50])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    """Nothing wraps, and what is hidden is said."""
    lines = text_of(width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert any("more" in line for line in lines) == (height < 16)
    assert lines[-1].startswith("q ends")


def test_a_narrow_terminal_keeps_cpu_and_memory_and_a_wide_one_has_all() -> None:
    """What one opens it for comes first."""
    narrow, wide = text_of(40, 30), text_of(140, 30)
    assert "cpu %" in narrow[4]
    assert "pss MiB" in narrow[1]
    assert "mean ms" not in narrow[4]
    assert all(name in wide[4] for name in MODULE_CELLS)


def test_the_one_that_takes_most_is_on_top_whatever_is_cut() -> None:
    """That is whom an operator looks for."""
    assert text_of(120, 12)[5].startswith("module_with_a_long_name_8@n")


NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=8, unique=True)


@given(NAMES, st.data(), st.integers(40, 200))
def test_columns_never_take_more_than_there_is(names: list[str], data: st.DataObject, width: int) -> None:
    """Whatever they would like; the two that are worth most are always there."""
    wanted = {name: data.draw(st.integers(1, 30), label=name) for name in names}
    found = fitting(wanted, width, worth=names, shown=sorted(names), least={names[-1]: 5} if len(names) > 2 else None)
    assert sum(found.values()) + GAP * len(found) <= width
    assert set(names[:2]) <= found.keys()
    assert list(found) == sorted(found)
