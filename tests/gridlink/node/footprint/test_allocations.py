"""Which lines of a module allocate what stays: a leak is found by name."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridlink.errors import Busy
from gridlink.node.footprint.allocations import Allocations, allocations_of
from gridlink.tasks import Tasks

CODE = """
import json

kept = []

def leak(number):
    for n in range(number):
        kept.append(json.loads('{"value": [1.5, 2.5, "%d"]}' % n))

def forget(number):
    return sum(len(bytes(1000)) for _ in range(number))
"""


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bundle's package, imported."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "leaky_probe.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "bundle"))
    yield importlib.import_module("leaky_probe")
    sys.modules.pop("leaky_probe")


async def watched(directory: Path, act: Any) -> Allocations:
    """What is found while something is done."""
    tasks = Tasks("test")
    watching = tasks.spawn(allocations_of("a@n", directory, 0.3), name="watching", awaited=True)
    await asyncio.sleep(0)
    act()
    found: Allocations = await watching
    await tasks.aclose()
    return found


async def test_the_line_that_keeps_what_a_library_has_allocated_is_named(leaky: Any, tmp_path: Path) -> None:
    """The allocation is json's, deep down; the leak is the module's."""
    found = await watched(tmp_path / "bundle", lambda: leaky.leak(500))
    assert found.lines[0].at == f"{tmp_path}/bundle/leaky_probe.py:8"
    assert found.lines[0].count > 500
    assert found.size_bytes > 50_000
    assert not tracemalloc.is_tracing()


async def test_what_is_gone_by_the_end_is_none(leaky: Any, tmp_path: Path) -> None:
    """And neither is what others have allocated meanwhile."""
    others: list[bytes] = []

    def act() -> None:
        leaky.forget(500)
        others.extend(bytes(100) for _ in range(1000))

    assert (await watched(tmp_path / "bundle", act)).size_bytes < 5_000


async def test_two_at_once_are_refused_and_a_cancelled_one_ends_the_watch(leaky: Any, tmp_path: Path) -> None:
    """One interpreter, one tracemalloc; it must not stay on."""
    tasks = Tasks("test")
    tasks.spawn(allocations_of("a@n", tmp_path, 60), name="first")
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="are watched already: ask b@n again later"):
        await allocations_of("b@n", tmp_path, 1)
    await tasks.aclose()
    assert not tracemalloc.is_tracing()
