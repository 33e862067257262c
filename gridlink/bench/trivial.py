"""Trivial bundles for `gridlink bench modules`, each with a package, a class and a role of its own, as a user's have.

One more bundle, `asker`, sends requests to them from within their node, and says how long each took.
"""

from __future__ import annotations

import json
from pathlib import Path

from gridlink.bench.run import compiled

TRIVIAL = '''"""A module that does next to nothing."""

from __future__ import annotations

from gridlink import Module, request


class Trivial(Module[None]):
    """Counts the times that it was asked."""

    roles = ("{name}",)

    def __init__(self) -> None:
        self._asked = 0

    @request("ask")
    async def ask(self) -> int:
        """How often it was asked."""
        self._asked += 1
        return self._asked
'''
ASKER = '''"""Asks modules of its node, one after the other."""

from __future__ import annotations

import time

from gridlink import Module, request


class Asker(Module[None]):
    """Asks modules of its node, one after the other."""

    @request("ask_all")
    async def ask_all(self, instances: list[str]) -> list[float]:
        """Asks each, in this order; returns the milliseconds that each request took."""
        took_ms = []
        for instance in instances:
            began_s = time.perf_counter()
            await self.bus.request(instance, "ask", reply=int)
            took_ms.append((time.perf_counter() - began_s) * 1000)
        return took_ms
'''


def names(count: int) -> list[str]:
    """The names of so many trivial modules."""
    return [f"trivial_{number:04}" for number in range(count)]


def trivial_bundles(managed: Path, count: int, *, chained: bool = False) -> list[str]:
    """Writes so many bundles, and compiles them; returns their names. `chained`: each uses the role of the one before.

    Chained ones are started one after the other, each when the one before it is RUNNING.
    """
    written = names(count)
    for number, name in enumerate(written):
        uses = {f"role {written[number - 1]}": ["ask"]} if chained and number else {}
        _write(managed / name, {"entry": f"{name}:Trivial", "uses": uses}, TRIVIAL.format(name=name))
    compiled(managed)
    return written


def asker_bundle(managed: Path) -> str:
    """Writes the bundle that asks; returns its name."""
    _write(managed / "asker", {"entry": "asker:Asker"}, ASKER)
    return "asker"


def _write(directory: Path, manifest: dict[str, object], source: str) -> None:
    package = directory / directory.name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    document = {"name": directory.name, "version": "1.0.0", **manifest}
    (directory / "module.json").write_text(json.dumps(document))
