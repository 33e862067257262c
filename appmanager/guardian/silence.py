"""A node whose loop is held: who holds it, and when the guardian has to act. Reads /proc, imports next to nothing.

The node's watchdog names a module that keeps the loop (`holds`), and asks for the end where it can't interrupt it
(`hung`); while it can act itself it says so (`looks`). In a C call that never looks up it can't say anything: then
the guardian asks for the stack with DUMP_SIGNAL, which C code of faulthandler's answers on the lifeline. It asks when
the most impatient module would have to be met, and acts by the limit of whom the stack names. Without a name, and
while something is imported, nothing is done here: SILENT_S remains (see child).

A process that crashes writes the stack there by itself: that names whoever crashed it.
"""

from __future__ import annotations

import os

from gridlink.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DUMP_SIGNAL = signal.SIGRTMIN + 7
LATE_S = 0.6  # heartbeats come every 0.5 s
ASK_BEFORE_S = 0.5  # the limit
LONGEST_TURN_S = 0.5  # the guardian was held up itself where one takes longer: so much of it counts
MOST_LINES = 24
IMPORTING = "<frozen importlib._bootstrap"
FATAL, BEAT = "Fatal Python error: ", "."
HELD_UP = ("T", "t", "D", "Z")  # stopped, traced, waiting for a disk, gone


class Silence:
    """Of one child. It says itself after how many seconds without a heartbeat it is to be replaced, or else is not."""

    def __init__(self, pid: int, now_s: float) -> None:
        self._pid = pid
        self._limits: dict[str, float] = {}  # seconds by module; "" has that of all others
        self.offender = ""  # the module for which it was replaced
        self._did = ""  # what that did, where it didn't hang
        self._fatal = False  # it crashes, and writes its stack
        self.kind = ""  # hung, crashed, ended
        self.stack: list[str] = []
        self._directories: dict[str, str] = {}
        self._holds, self._looked, self._hung = "", "", False
        self.held_s = self.passed_s = 0.0  # how long it has held the loop, and which limit that was over
        self._silent_s = 0.0
        self._asked = False
        self._beat_s = self._turn_s = now_s
        self._waited_s = 0.0

    def beat(self, now_s: float) -> None:
        """A sign of life of the loop itself."""
        self._holds, self._looked, self._hung, self.held_s, self.passed_s = "", "", False, 0.0, 0.0
        self.stack = []
        self._looks(now_s)

    def _looks(self, now_s: float) -> None:
        self._beat_s, self._silent_s, self._asked = now_s, 0.0, False

    def hear(self, what: str, text: str, now_s: float) -> bool:
        """Takes in a line of the watchdog's; whether it was said while the loop is held, and so is no sign of life."""
        try:
            return self._hear(what, text, now_s)
        except ValueError:  # a module may write to any file of its process
            return False

    def _hear(self, what: str, text: str, now_s: float) -> bool:
        name, _, rest = text.partition(" ")
        if what == "looks":
            self._looks(now_s)
            self._looked = name
        elif what == "limit":
            self._limit(rest, float(name))
        elif what == "exits":
            self.offender, self._did, self.kind = name, rest, "ended"
        elif what == "hosts":
            self._directories[name] = rest.rstrip("/") + "/"
        elif what in ("holds", "hung"):
            held_s, limit_s, *stack = rest.split(" ", 2)
            self._holds, self._hung, self.stack = name, what == "hung", stack[0].split(" < ") if stack else []
            self.held_s, self.passed_s = float(held_s), float(limit_s)
        else:
            return False
        return what in ("looks", "holds", "hung")

    def hear_stack(self, line: str) -> bool:
        """Takes in a line of a stack that faulthandler writes: `  File "/a/b.py", line 3 in f`; False where it is none.

        The answer to DUMP_SIGNAL, or the last words of a process that crashes.
        """
        if self._fatal and line == BEAT:  # it lives: a child of its own wrote that
            self._fatal, self.stack = False, []
        if line.startswith(FATAL):
            self._fatal, self._holds, self.stack = True, "", []
        if not line.startswith("  File "):
            return self._fatal or line.startswith(("Stack (", "Current thread", "  ..."))
        file, _, place = line[8:].partition('", line ')
        number, _, function = place.partition(" in ")
        if not self._holds and len(self.stack) < MOST_LINES:
            self.stack.append(f"{file}:{number} {function}")
        return True

    def turn(self, now_s: float, starting: str) -> bool:
        """Whether the child is to be replaced now. `offender` and `stack` say for whom."""
        gap_s, self._turn_s = min(now_s - self._turn_s, LONGEST_TURN_S), now_s
        if not self._limits or starting:
            return False
        if now_s - self._beat_s < LATE_S and not self._hung:
            return False
        self._count(gap_s)
        shortest_s = min(self._limits.values())
        if not self._asked and self._silent_s >= shortest_s - ASK_BEFORE_S:
            self._asked = True
            os.kill(self._pid, DUMP_SIGNAL)
        if not self._hung and self._silent_s < shortest_s:
            return False
        name = self._holds or self._named_by_stack()
        limit_s = self._limit_of(name)
        if not name or (not self._hung and self._silent_s < limit_s) or _state(self._pid) in HELD_UP:
            return False
        self.offender, self.kind = name, "hung"
        self.held_s, self.passed_s = max(self.held_s, self._silent_s), self.passed_s or limit_s
        return True

    @property
    def patience_s(self) -> float:
        """How long whoever holds the loop may hold it; 0 where nobody knows who does."""
        name = self._holds or self._looked or self._named_by_stack()
        return self._limit_of(name) if name else 0.0

    def _limit_of(self, module: str) -> float:
        return self._limits.get(module) or self._limits.get("", 0.0)

    def _limit(self, module: str, limit_s: float) -> None:
        if limit_s:
            self._limits[module] = limit_s
        else:  # it isn't watched any more
            self._limits.clear()

    def crash(self, how: str) -> None:
        """The process has come to a sudden end: the offender is whoever ran then, where that is known."""
        name = self._innermost_module() if self._fatal else self._holds
        if name:
            where = f" in {self.stack[0]}" if self.stack else ""
            self.offender, self.kind, self._did = name, "crashed", f"it ended its process{where} ({how})"

    def starts(self, name: str, how: str) -> None:
        """The process has ended while a module was imported or started in it."""
        if name in self._directories:
            self.offender, self.kind = name, "ended"
            self._did = f"it ended its process while it was imported or started ({how})"

    @property
    def directory(self) -> str:
        """Of the offender's bundle."""
        return self._directories.get(self.offender, "").rstrip("/")

    @property
    def why(self) -> str:
        """What the offender did, in a sentence."""
        if self._did:
            return f"{self.offender}: {self._did}"
        where = f" in {self.stack[0]}" if self.stack else ""
        return f"{self.offender} held the event loop for {self.held_s:.1f} s{where}, and could not be interrupted"

    def _count(self, gap_s: float) -> None:
        """Adds what of the time it did not wait for a processor or a disk, and was not stopped."""
        waited_s = _waited_s(self._pid)
        if self._silent_s == 0.0:
            self._silent_s = LATE_S
        elif _state(self._pid) not in HELD_UP:
            self._silent_s += max(0.0, gap_s - (waited_s - self._waited_s))
        self._waited_s = waited_s

    def _named_by_stack(self) -> str:
        """Whose code is innermost; the frames that called that module's code are dropped from the stack."""
        return "" if any(line.startswith(IMPORTING) for line in self.stack) else self._innermost_module()

    def _innermost_module(self) -> str:
        for name, directory in self._innermost():
            last = max(n for n, line in enumerate(self.stack) if line.startswith(directory))
            del self.stack[last + 1 :]
            return name
        return ""

    def _innermost(self) -> Iterator[tuple[str, str]]:
        return (found for line in self.stack for found in self._directories.items() if line.startswith(found[1]))


def _waited_s(pid: int) -> float:
    """How long its main thread has waited for a processor so far; 0 where the kernel doesn't say."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _state(pid: int) -> str:
    """The state of its main thread: R, S, D (waits for a disk), T (stopped), Z."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return "Z"
