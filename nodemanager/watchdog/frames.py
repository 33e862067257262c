"""What the interrupted frames tell: whose code holds the loop, and whether an exception may be raised in it.

Nothing here changes a frame. All of it runs in a signal handler, between two instructions of whatever was running.
"""

from __future__ import annotations

import asyncio.events
import os
import sys
from types import FrameType

from msgspec import Struct

from gridlink.module.owner import owner
from nodemanager.isolation.space import MARK, BundleSpace, Space

DEEPEST = 24  # lines of a stack that are kept
_RUN_HANDLE = asyncio.events.Handle._run.__code__
_IMPORT = "<frozen importlib._bootstrap"
_ACTS_FOR_CALLER = os.path.dirname(__file__) + os.sep
_STDLIB = os.path.dirname(os.__file__) + os.sep
_LOCKED = tuple(_STDLIB + name for name in ("asyncio" + os.sep, "logging" + os.sep, "threading.py", "weakref.py"))


def _home(package: str) -> str:
    return os.path.dirname(str(sys.modules[package].__file__)) + os.sep if package in sys.modules else ""


def untouchable() -> tuple[str, ...]:
    """Where an exception from nowhere would break more than the module: our own code, the loop's, the bus client's."""
    ours = (_home(name) for name in ("gridlink", "nodemanager", "appmanager", "nats", "uvloop"))
    return (*_LOCKED, *(home for home in ours if home))


class Holder(Struct, frozen=True):
    """Whose step it is (a module's name, or an instance `name@node`; empty: nobody's), and what may be done to it."""

    name: str
    interruptible: bool  # its own code is on the stack, and nothing of ours above it
    importing: bool


def holder(frame: FrameType | None, untouchable: tuple[str, ...]) -> Holder:
    """Who holds the loop in `frame`: the bundle whose code is innermost, else whoever the running context belongs to.

    The handler of a signal runs in the context of what it interrupts.
    """
    interruptible, importing, name = True, False, ""
    while frame is not None and frame.f_code is not _RUN_HANDLE:
        space: Space | None = frame.f_builtins.get(MARK)
        if isinstance(space, BundleSpace):
            name = space.name
            break
        file = frame.f_code.co_filename
        if file.startswith(_IMPORT):
            importing = True
        elif space is None and file.startswith(untouchable) and not file.startswith(_ACTS_FOR_CALLER):
            interruptible = False
        frame = frame.f_back
    return Holder(name or owner.get(), interruptible and bool(name), importing or _is_importing(frame))


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not _RUN_HANDLE:
        if frame.f_code.co_filename.startswith(_IMPORT):
            return True
        frame = frame.f_back
    return False


def stack(frame: FrameType | None) -> tuple[str, ...]:
    """The frames of the running step as `file:line function`, the innermost first, without ours that called it."""
    lines: list[str] = []
    last = 0
    while frame is not None and frame.f_code is not _RUN_HANDLE and len(lines) < DEEPEST:
        code = frame.f_code
        if not code.co_filename.startswith(_ACTS_FOR_CALLER):
            lines.append(f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}")
        if isinstance(frame.f_builtins.get(MARK), Space):
            last = len(lines)
        frame = frame.f_back
    return tuple(lines[: last or DEEPEST])
