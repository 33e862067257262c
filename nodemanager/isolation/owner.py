"""Who asks for a module: walks outward over the frames to the first that is a bundle's or the host's. Changes nothing.

Frames of the stdlib and of this package are passed over: they act for whoever called them. Where only such frames are
left, and at the event loop's own frames, the task's context decides, then the thread's inheritance.
"""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Final

from nodemanager.isolation.space import CURRENT, HOST, MARK, BundleSpace, Space, exiled

ACTS_FOR_CALLER: Final = 0
IS_HOST: Final = 1
IS_LOOP: Final = 2
IS_STDLIB: Final = 3
IS_MIDDLEWARE: Final = 4
_STDLIB = os.path.dirname(os.__file__) + os.sep
_THIS = os.path.dirname(__file__) + os.sep
_LOOP_FILES = frozenset(_STDLIB + "asyncio" + os.sep + name for name in ("base_events.py", "events.py", "runners.py"))
_MIDDLEWARE = ("gridlink", "msgspec")  # the host's code that looks into bundles' classes for them
_LOOP_FUNCTIONS = frozenset({"_run", "_run_once", "run", "run_forever", "run_until_complete"})
kinds: dict[str, int | BundleSpace] = {}
_roots: dict[str, list[BundleSpace]] = {}
inherited = threading.local()
"""`inherited.space`: the space that started this thread or gave it its present work."""


def add_root(root: str, space: BundleSpace) -> None:
    """Code below `root` is `space`'s also where it runs with foreign builtins (runpy, exec by the stdlib)."""
    _roots.setdefault(root.rstrip(os.sep) + os.sep, []).append(space)
    kinds.clear()


def remove_roots(space: BundleSpace) -> None:
    """Forgets the directories of a bundle."""
    for root, spaces in list(_roots.items()):
        spaces[:] = [other for other in spaces if other is not space]
        if not spaces:
            del _roots[root]
    kinds.clear()


def _kind(file: str) -> int | BundleSpace:
    for root, spaces in list(_roots.items()):
        if file.startswith(root):
            return spaces[0] if len(spaces) == 1 else ACTS_FOR_CALLER
    if file.startswith(_THIS):
        return ACTS_FOR_CALLER
    if not file.startswith(_STDLIB) or "site-packages" in file or "dist-packages" in file:
        return IS_MIDDLEWARE if _is_middleware(file) else IS_HOST
    if file in _LOOP_FILES:
        return IS_LOOP
    return ACTS_FOR_CALLER if file.startswith(_STDLIB + "importlib" + os.sep) else IS_STDLIB


def _is_middleware(file: str) -> bool:
    modules = [dict.get(sys.modules, name) or HOST.modules.get(name) for name in _MIDDLEWARE]
    return any(file.startswith(path + os.sep) for module in modules for path in getattr(module, "__path__", ()))


def kind_of(file: str) -> int | BundleSpace:
    """What the code of a file is: a bundle's, the host's, or acting for its caller."""
    kind = kinds.get(file)
    if kind is None:
        if file.startswith("<"):  # not kept: generated names would grow without end
            return ACTS_FOR_CALLER
        kind = kinds[file] = _kind(file)
    return kind


def inherited_space() -> Space | None:
    """The space of the present task's context, else of the present thread."""
    return CURRENT.get() or getattr(inherited, "space", None)


def owner(frame: FrameType | None, top: str = "") -> Space:
    """The space in whose name the code in `frame` asks for the top-level name `top`; the host if there is no other."""
    while frame is not None:
        space: Space | None = frame.f_builtins.get(MARK)
        if space is not None:
            return space
        kind = kind_of(frame.f_code.co_filename)
        if kind is IS_HOST or kind is IS_MIDDLEWARE:
            return HOST
        if isinstance(kind, Space):
            return kind
        if kind is IS_LOOP and frame.f_code.co_name in _LOOP_FUNCTIONS:
            space = inherited_space()
            if space is not None:
                return space
        elif kind is IS_STDLIB and top in exiled and is_import_statement(frame):
            return HOST  # the stdlib means the stdlib's
        frame = frame.f_back
    return inherited_space() or HOST


def acting(frame: FrameType | None) -> Space:
    """The bundle on whose behalf the host's code in `frame` runs: a frame further out, the task's, else the host."""
    while frame is not None:
        space: Space | None = frame.f_builtins.get(MARK)
        if space is not None:
            return space
        if frame.f_code.co_name in _LOOP_FUNCTIONS and kind_of(frame.f_code.co_filename) is IS_LOOP:
            break
        frame = frame.f_back
    return inherited_space() or HOST


def is_looking_into(frame: FrameType | None, top: str) -> bool:
    """Whether the host's code in `frame` resolves something of a bundle: the middleware, not importing, not its own."""
    found = frame
    while found is not None and kind_of(found.f_code.co_filename) not in (IS_HOST, IS_MIDDLEWARE):
        found = found.f_back
    if found is None or kind_of(found.f_code.co_filename) is IS_HOST or is_importing(frame):
        return False
    name: str = found.f_globals.get("__name__", "")
    return name.partition(".")[0] != top


def is_importing(frame: FrameType | None) -> bool:
    """Whether the first frame that isn't importlib's imports, rather than looking into `sys.modules`."""
    while frame is not None and kind_of(frame.f_code.co_filename) is ACTS_FOR_CALLER:
        if frame.f_code.co_name == "_find_and_load":
            return True
        frame = frame.f_back
    return frame is not None and is_import_statement(frame)


def is_import_statement(frame: FrameType) -> bool:
    """Whether the frame is at an `import` or `from ... import`."""
    from opcode import opmap  # noqa: PLC0415 (an untouched interpreter doesn't need it)

    opcode = frame.f_code.co_code[frame.f_lasti] if frame.f_lasti >= 0 else None
    return opcode in (opmap["IMPORT_NAME"], opmap["IMPORT_FROM"])
