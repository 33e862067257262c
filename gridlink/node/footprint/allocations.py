"""What one module allocates while it is watched, a line of its code each; what is still there at the end may be a leak.

Python's tracemalloc watches the whole interpreter, and makes allocating up to ten times as slow meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gridlink.errors import Busy

FRAMES = 6  # kept of each allocation: so deep may the library be that a module calls
LINES = 20
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Trace:
    """The question: which instance, and for how many seconds."""

    instance: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the module's code, and what was allocated by it, or by what it called, and is still there."""

    at: str  # file:line
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Allocations:
    """Of one instance, in `for_s` seconds; the largest lines first, `size_bytes` of all of them."""

    instance: str
    for_s: float
    size_bytes: int
    lines: tuple[Line, ...]


async def allocations_of(instance: str, directory: Path, for_s: float) -> Allocations:
    """Watches for so long (at most LONGEST_S). Raises Busy where somebody else does already.

    Cancelling it ends the watch.
    """
    import tracemalloc  # noqa: PLC0415 - where somebody looks

    if tracemalloc.is_tracing():
        raise Busy(f"the allocations of this interpreter are watched already: ask {instance} again later")
    for_s = min(for_s, LONGEST_S)
    tracemalloc.start(FRAMES)
    try:
        await asyncio.sleep(for_s)
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for trace in snapshot.traces:
        for frame in reversed(trace.traceback):  # the innermost is the last
            if frame.filename.startswith(f"{directory}/"):
                at = f"{frame.filename}:{frame.lineno}"
                sizes[at] += trace.size
                counts[at] += 1
                break
    lines = tuple(Line(at, counts[at], size) for at, size in sizes.most_common(LINES))
    return Allocations(instance, for_s, sum(sizes.values()), lines)
