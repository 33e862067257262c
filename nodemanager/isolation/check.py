"""Asks whether this interpreter can be armed: first by its build, then by trying it on two bundles of one name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_OLDEST, _NEWEST = (3, 11), (3, 14)
_PROBE = """
from __future__ import annotations
import dataclasses, importlib, sys, typing

@dataclasses.dataclass
class Kind:
    other: typing.Optional[Other] = None

class Other:
    value = {value}

def answers():
    import gridlink_probe.part
    yield sys.modules[__name__].Other is Other
    yield typing.get_type_hints(Kind)["other"] == typing.Optional[Other]
    yield importlib.import_module(".part", __name__).owner() is Other
    yield importlib.util.find_spec("gridlink_probe_absent") is None
    yield Other.value == {value}
"""
_PART = """
def owner():
    from gridlink_probe import Other
    return Other
"""


def unsupported() -> str | None:
    """Why this build of Python can't be armed, or None. Looks at attributes alone: costs nothing and loads nothing."""
    version = sys.version_info[:2]
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} isn't CPython"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "this is a free-threaded build of CPython"
    if hasattr(sys, "getobjects"):
        return "this is a debug build of CPython (Py_TRACE_REFS)"
    if not _OLDEST <= version < _NEWEST:
        return f"CPython {version[0]}.{version[1]} wasn't measured: 3.11 to 3.13 were"
    if sys.platform != "linux":
        return f"native libraries can be looked after on Linux alone, this is {sys.platform}"
    return None


def failed_probe(load: Callable[[Path, str], Any]) -> str | None:
    """Why bundles of one name don't keep apart in this interpreter, or None. `load(directory, name)` gives a module."""
    import tempfile  # noqa: PLC0415 - an idle node needs none: 0.6 MiB with what it loads

    with tempfile.TemporaryDirectory(prefix="gridlink-probe-") as folder:
        modules = []
        for value in (1, 2):
            package = Path(folder, str(value), "gridlink_probe")
            package.mkdir(parents=True)
            package.joinpath("__init__.py").write_text(_PROBE.format(value=value), encoding="utf-8")
            package.joinpath("part.py").write_text(_PART, encoding="utf-8")
            modules.append(load(package.parent, f"probe{value}"))
        for number, module in enumerate(modules, 1):
            if not all(module.answers()):
                return f"the self-check's bundle {number} got the modules of another"
    return "the self-check's bundles leaked into the host" if "gridlink_probe" in sys.modules else None
