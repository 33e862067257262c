"""The Python objects of one module in an interpreter that it may share: what is reached from it alone, and its size.

From the module's object, its package and its running coroutines, every reference is followed; not into what is others':
the standard library, the host's libraries, Gridlink's own objects. What C code has allocated behind an object's back
(SQLite's cache, a socket's buffer) has no size here: the process's PSS has it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

SLICE_S = 0.005  # of the loop at one go
LIMIT_S = 10.0
TYPES = 12
_STRANGERS = frozenset(
    {"gridlink", "nodemanager", "appmanager", "nats", "asyncio", "_asyncio", "uvloop", "logging"}
    | {"threading", "_thread", "concurrent", "weakref"}
)
_CODE = (ModuleType, FunctionType, CodeType, type)


@dataclass(frozen=True, slots=True)
class Kind:
    """The objects of one type."""

    type: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Objects:
    """What was found. `code_bytes`: classes, functions and their tables; `kinds`: the largest ones first.

    `complete` is False where there were more objects than could be visited in LIMIT_S.
    """

    instance: str
    count: int
    size_bytes: int
    code_bytes: int
    complete: bool
    kinds: tuple[Kind, ...]


async def objects_of(instance: str, roots: Iterable[Any], directory: Path, limit_s: float = LIMIT_S) -> Objects:
    """Visits all objects of the module whose bundle is in `directory`, a few milliseconds of the loop at a time."""
    walk = _Walk(directory, list(roots))
    deadline_s = time.monotonic() + limit_s
    while walk.go_on(time.perf_counter() + SLICE_S) and time.monotonic() < deadline_s:  # noqa: ASYNC110 - no wait
        await asyncio.sleep(0)  # the others have their turn
    return walk.found(instance)


class _Walk:
    """A walk over references that can be left and taken up again; holds what it has seen, so that no id comes twice."""

    def __init__(self, directory: Path, roots: list[Any]) -> None:
        self._at = f"{directory}/"
        modules = [one for one in list(sys.modules.values()) if self._is_own_module(one)]
        self._names = {one.__name__ for one in modules}
        self._to_do: list[Any] = [*roots, *modules]
        self._seen: dict[int, Any] = {}
        self._kinds: dict[type, list[int]] = defaultdict(lambda: [0, 0])
        self._code_bytes = 0

    def go_on(self, until_s: float) -> bool:
        """Walks until then (`time.perf_counter`); returns whether anything is left to do."""
        to_do, seen = self._to_do, self._seen
        while to_do:
            if len(seen) % 64 == 0 and time.perf_counter() > until_s:
                return True
            one = to_do.pop()
            if id(one) in seen or self._is_a_strangers(one):
                continue
            seen[id(one)] = one
            self._count(one)
            to_do.extend(gc.get_referents(one))
        return False

    def _count(self, one: Any) -> None:
        size = sys.getsizeof(one, 0)
        kind = self._kinds[type(one)]
        kind[0] += 1
        kind[1] += size
        if isinstance(one, _CODE):
            self._code_bytes += size

    def _is_a_strangers(self, one: Any) -> bool:
        if one is None or one is True or one is False or one is ... or one is NotImplemented:
            return True
        if isinstance(one, ModuleType):
            return not self._is_own_module(one)
        if isinstance(one, type):
            return not self._is_own_class(one)
        if isinstance(one, FunctionType):
            return not self._is_own_globals(one.__globals__)
        if isinstance(one, CodeType):
            return not one.co_filename.startswith((self._at, "<"))
        if isinstance(one, dict) and ("__builtins__" in one or "__import__" in one):  # a module's globals; the builtins
            return not self._is_own_globals(one)
        return type(one).__module__.partition(".")[0] in _STRANGERS

    def _is_own_module(self, one: Any) -> bool:
        return isinstance(one, ModuleType) and str(getattr(one, "__file__", None) or "").startswith(self._at)

    def _is_own_globals(self, names: dict[str, Any]) -> bool:
        """Whether it is the table of one of the bundle's modules, which `sys.modules` needn't have (see isolation)."""
        if not str(names.get("__file__") or "").startswith(self._at):
            return False
        self._names.add(str(names.get("__name__")))
        return True

    def _is_own_class(self, cls: type) -> bool:
        """One without a function of its own is known as soon as its module is: it is met there again."""
        return cls.__module__ in self._names or any(
            isinstance(one, FunctionType) and self._is_own_globals(one.__globals__) for one in list(vars(cls).values())
        )

    def found(self, instance: str) -> Objects:
        """The sums so far."""
        kinds = sorted(self._kinds.items(), key=lambda item: -item[1][1])
        return Objects(
            instance=instance,
            count=len(self._seen),
            size_bytes=sum(size for _, (_, size) in kinds),
            code_bytes=self._code_bytes,
            complete=not self._to_do,
            kinds=tuple(Kind(cls.__qualname__, count, size) for cls, (count, size) in kinds[:TYPES]),
        )
