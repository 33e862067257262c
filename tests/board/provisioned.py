"""Runs on the board: a module is installed, updated and rolled back beside the use case, as an operator would do it.

MemAvailable is looked at all the while, the operator's commands, which run on the board too, included.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.2
NAME = "counting"
CODE = '''"""Counts."""

from gridlink import Module, request


class Counting(Module[None]):
    """Counts."""

    roles = ("counting",)

    def __init__(self) -> None:
        self.count = 0

    @request("add")
    async def add(self) -> int:
        self.count += 1
        return self.count

    @request("look")
    async def look(self) -> int:
        return self.count

    async def snapshot(self) -> int:
        return self.count

    async def restore(self, state: int) -> None:
        self.count = state
'''
Run = Callable[[list[str]], str]
"""Runs a command and returns what it printed. Raises RuntimeError where it fails."""


class Lowest:
    """The least that was available, in KiB, from `with` to its end."""

    def __init__(self, available_kib: Callable[[], int]) -> None:
        self._available_kib = available_kib
        self.kib = available_kib()
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look)

    def __enter__(self) -> Lowest:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.kib = min(self.kib, self._available_kib())


def provisioned(
    gridlink: list[str], directory: Path, mode: str, run: Run, available_kib: Callable[[], int]
) -> dict[str, Any]:
    """What it took. Raises RuntimeError where a command fails, or the state isn't what it has to be."""
    first, second = (packed(gridlink, directory, version, mode, run) for version in ("1.0.0", "1.1.0"))
    taken_s, counts = {}, []
    with Lowest(available_kib) as lowest:
        for name, command in (
            ("install", ["install", str(first)]),
            ("update", ["update", str(second)]),
            ("rollback", ["rollback", NAME]),
        ):
            began_s = time.monotonic()
            run([*gridlink, *command])
            taken_s[f"{name}_s"] = round(time.monotonic() - began_s, 1)
            found = looked(gridlink, run)
            counts.append((found, counted(gridlink, run, more_than=found)))
        run([*gridlink, "uninstall", NAME])
    installed, updated, back = counts
    if (installed[0], updated[0], back[0]) != (0, installed[1], installed[1]):  # a version comes back with its state
        raise RuntimeError(f"after install, update and rollback the count was, and became, {counts}")
    return {"provisioning": taken_s, "provisioning_mib": round(lowest.kib / 1024, 1)}


def looked(gridlink: list[str], run: Run) -> int:
    """The module's count. A link that is lost meanwhile (the processor is emulated) is tried again."""
    return int(json.loads(again(lambda: run([*gridlink, "call", NAME, "look", "--json"]))))


def counted(gridlink: list[str], run: Run, more_than: int) -> int:
    """Has it count; what it has come to."""
    found = more_than
    while found <= more_than:
        again(lambda: run([*gridlink, "call", NAME, "add", "--json"]))
        found = looked(gridlink, run)
    return found


def again(work: Callable[[], str]) -> str:
    """What it returns, in three tries."""
    for _ in range(2):
        try:
            return work()
        except RuntimeError:
            time.sleep(LOOK_EVERY_S)
    return work()


def packed(gridlink: list[str], directory: Path, version: str, mode: str, run: Run) -> Path:
    """The bundle in that version, as a file."""
    bundle = directory / f"{NAME}-{mode}-{version}"
    (bundle / NAME).mkdir(parents=True)
    manifest = {"name": NAME, "version": version, "entry": f"{NAME}:Counting", "mode": mode}
    (bundle / "module.json").write_text(json.dumps(manifest))
    (bundle / NAME / "__init__.py").write_text(CODE)
    file = bundle.with_suffix(f"{bundle.suffix}.glb")
    run([*gridlink, "pack", str(bundle), "-o", str(file)])
    return file
