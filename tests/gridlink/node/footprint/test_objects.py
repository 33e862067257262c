"""The Python objects of one module: its own, and not those of others in the same interpreter."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gridlink.node.footprint.objects import objects_of

CODE = """
import json, logging, asyncio
from dataclasses import dataclass
log = logging.getLogger(__name__)

@dataclass
class Reading:
    value: float

class Probe:
    def __init__(self, number):
        self.readings = [Reading(float(n)) for n in range(number)]
        self.log, self.json, self.loop_class = log, json, asyncio.BaseEventLoop

    async def wait(self, event):
        held = bytes(3_000_000)
        await event.wait()
        return held
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A bundle's package, imported."""
    (tmp_path / "bundle_a").mkdir()
    (tmp_path / "bundle_a" / "footprint_probe.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "bundle_a"))
    yield importlib.import_module("footprint_probe")
    sys.modules.pop("footprint_probe")


async def test_the_size_is_that_of_what_it_holds(probe: Any, tmp_path: Path) -> None:
    """A thousand readings more are a thousand readings larger."""
    few = await objects_of("a@n", [probe.Probe(1000)], tmp_path / "bundle_a")
    many = await objects_of("a@n", [probe.Probe(11_000)], tmp_path / "bundle_a")
    one = sys.getsizeof(probe.Reading(1.0)) + sys.getsizeof(1.0)
    assert many.size_bytes - few.size_bytes > 10_000 * one
    assert many.complete
    assert next(kind.count for kind in many.kinds if kind.type == "Reading") == 11_000


async def test_others_are_not_counted(probe: Any, tmp_path: Path) -> None:
    """Neither json, nor logging, nor asyncio, all of which it refers to; its own code is."""
    found = await objects_of("a@n", [probe.Probe(0)], tmp_path / "bundle_a")
    assert found.size_bytes < 100_000
    assert 500 < found.code_bytes < found.size_bytes
    assert found.count < 500


async def test_code_that_sys_modules_does_not_have_is_found_by_its_classes(probe: Any, tmp_path: Path) -> None:
    """Bundles with libraries of their own are kept apart from `sys.modules`."""
    known = await objects_of("a@n", [probe.Probe(10)], tmp_path / "bundle_a")
    sys.modules.pop("footprint_probe")
    hidden = await objects_of("a@n", [probe.Probe(10)], tmp_path / "bundle_a")
    sys.modules["footprint_probe"] = probe
    assert hidden.code_bytes == pytest.approx(known.code_bytes, rel=0.1)
    assert {kind.type for kind in hidden.kinds} >= {"Reading", "type", "code"}


async def test_what_a_running_task_holds_is_counted(probe: Any, tmp_path: Path) -> None:
    """A handler that has read a large file, and waits."""
    event = asyncio.Event()
    coroutine = probe.Probe(0).wait(event)
    coroutine.send(None)
    found = await objects_of("a@n", [coroutine], tmp_path / "bundle_a")
    assert found.size_bytes > 3_000_000
    coroutine.close()


async def test_the_loop_is_given_back_while_it_walks(probe: Any, tmp_path: Path) -> None:
    """A module with a million objects must not stop the others for a second."""
    holder = probe.Probe(300_000)
    gaps_s, last_s = [], time.perf_counter()
    walking = asyncio.get_running_loop().create_task(objects_of("a@n", [holder], tmp_path / "bundle_a"))
    while not walking.done():
        await asyncio.sleep(0)
        now_s = time.perf_counter()
        gaps_s.append(now_s - last_s)
        last_s = now_s
    assert (await walking).count > 600_000
    assert sorted(gaps_s)[int(len(gaps_s) * 0.9)] < 0.05
    assert len(gaps_s) > 10
