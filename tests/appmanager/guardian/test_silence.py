"""A node that says nothing: named by a real stack from C, replaced where it lives, left alone where it doesn't."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appmanager.guardian.silence import DUMP_SIGNAL, Silence
from gridlink.node import lifeline

CODE = """
import faulthandler, sys
faulthandler.register(int(sys.argv[1]), file=1, all_threads=False)
print("up", flush=True)
def held():
    HANGS
held()
"""
C_CALL, SLEEP = "sum(range(sys.maxsize))", "import time; time.sleep(60)"


class Held:
    """A process whose loop is held, and what a guardian makes of it."""

    def __init__(self, directory: Path, code: str) -> None:
        self.module = directory / "hog" / "hog.py"
        self.module.parent.mkdir()
        self.module.write_text(CODE.replace("HANGS", code))
        command = [sys.executable, str(self.module), str(int(DUMP_SIGNAL))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._said = self.process.stdout
        assert self._said.readline() == b"up\n"
        os.set_blocking(self._said.fileno(), False)
        self.silence = Silence(self.process.pid, time.monotonic())
        self.silence.hear("limit", "1.0", time.monotonic())

    def turned_for(self, seconds: float) -> bool:
        """Whether it is to be replaced within that time; the guardian's loop turns meanwhile."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            for line in self._said.read().decode().splitlines() if self._has_said() else ():
                assert self.silence.hear_stack(line), line
            if self.silence.turn(time.monotonic(), ""):
                return True
            time.sleep(0.05)  # as the guardian does, which has no loop
        return False

    def _has_said(self) -> bool:
        return bool(select.select([self._said], [], [], 0)[0])


@pytest.fixture(params=[C_CALL, SLEEP])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    """One that computes in C with the interpreter's lock, one that sleeps."""
    one = Held(tmp_path, request.param)
    yield one
    one.process.kill()
    one.process.communicate()


def test_both_sides_mean_the_same_signal() -> None:
    """The guardian loads nothing of the node."""
    assert lifeline.DUMP_SIGNAL == DUMP_SIGNAL


def test_one_that_is_stuck_is_named_by_its_stack_and_replaced(held: Held) -> None:
    """It can't say a word itself."""
    held.silence.hear("hosts", f"other {held.module.parent.parent}/ho", time.monotonic())
    held.silence.hear("hosts", f"hog {held.module.parent}", time.monotonic())
    assert held.turned_for(5)
    assert held.silence.offender == "hog"
    assert held.silence.stack == [f"{held.module}:6 held", f"{held.module}:7 <module>"]
    assert held.silence.held_s >= 1.0
    assert "hog held the event loop" in held.silence.why


def test_a_patient_module_beside_it_gives_it_no_time(held: Held) -> None:
    """Nor do limits for a name that no bundle has: the limit counts of whom the stack names."""
    for line in ("8 patient", "30 nosuch"):
        held.silence.hear("limit", line, time.monotonic())
    held.silence.hear("hosts", f"patient {held.module.parent}-patient", time.monotonic())
    held.silence.hear("hosts", f"hog {held.module.parent}", time.monotonic())
    assert held.turned_for(10)
    assert (held.silence.offender, held.silence.passed_s) == ("hog", 1.0)
    assert held.silence.held_s < 2.0


def test_a_patient_module_has_its_time_beside_impatient_ones(held: Held) -> None:
    """It is named early, and let alone until its own limit; the kill for silence, too, waits for that."""
    held.silence.hear("limit", "2.5 hog", time.monotonic())
    held.silence.hear("hosts", f"hog {held.module.parent}", time.monotonic())
    assert held.silence.patience_s == 0.0
    assert not held.turned_for(2.0)
    assert held.silence.patience_s == 2.5
    assert held.turned_for(30)
    assert (held.silence.offender, held.silence.passed_s) == ("hog", 2.5)
    assert held.silence.held_s >= 2.5


def test_what_is_no_line_of_a_watchdogs_ends_no_guardian(held: Held) -> None:
    """A module may write to any file of its process."""
    for what, text in (("limit", "soon"), ("holds", "hog"), ("hung", "hog for ever")):
        assert not held.silence.hear(what, text, time.monotonic())
    held.silence.hear("limit", "0", time.monotonic())
    assert not held.turned_for(1.4)


def test_nobody_is_replaced_without_a_name(held: Held) -> None:
    """Our own code is slow at times; the long limit is for that."""
    assert not held.turned_for(1.4)


def test_one_that_is_stopped_is_let_alone(held: Held) -> None:
    """Somebody looks at it with a debugger."""
    held.silence.hear("hosts", f"hog {held.module.parent}", time.monotonic())
    held.process.send_signal(signal.SIGSTOP)
    assert not held.turned_for(1.4)
    held.process.send_signal(signal.SIGCONT)
    assert held.turned_for(5)


def test_what_its_watchdog_says_counts_at_once(held: Held) -> None:
    """It has tried to interrupt, and could not."""
    assert held.silence.hear("hung", "hog 1.02 0.25 /b/hog.py:3 f < /b/hog.py:9 g", time.monotonic())
    assert held.turned_for(0.3)
    assert (held.silence.offender, held.silence.held_s, held.silence.passed_s) == ("hog", 1.02, 0.25)
    assert held.silence.stack == ["/b/hog.py:3 f", "/b/hog.py:9 g"]


def test_a_beat_makes_up_for_all_that_was_said(held: Held) -> None:
    """The loop runs again."""
    held.silence.hear("hung", "hog 1.02 0.25 /b/hog.py:3 f", time.monotonic())
    held.silence.beat(time.monotonic())
    assert not held.turned_for(0.3)


def test_as_long_as_its_watchdog_looks_it_is_let_alone(held: Held) -> None:
    """It knows the limits of what runs, and has not given up."""
    held.silence.hear("holds", "hog 0.3 0.25 /b/hog.py:3 f", time.monotonic())
    for _ in range(6):
        assert not held.turned_for(0.25)
        assert held.silence.hear("looks", "", time.monotonic())
    assert held.turned_for(5)


def test_an_import_has_more_time(held: Held) -> None:
    """Libraries in C take long to load on a board."""
    held.silence.hear("hosts", f"hog {held.module.parent}", time.monotonic())
    for line in ("Stack (most recent call first):", '  File "<frozen importlib._bootstrap>", line 241 in f'):
        assert held.silence.hear_stack(line)
    assert not held.turned_for(1.4)


def test_a_guardian_that_was_held_up_itself_does_not_count_that(held: Held) -> None:
    """After a night's suspend the first thing to do is to listen."""
    held.silence.hear("holds", "hog 0.3 0.25 /b/hog.py:3 f", time.monotonic())
    assert not held.silence.turn(time.monotonic() + 3600, "")


def test_while_a_module_is_started_the_long_limit_holds(held: Held) -> None:
    """Imports take their time on a board."""
    held.silence.hear("holds", "hog 0.3 0.25 /b/hog.py:3 f", time.monotonic())
    for turn in range(20):
        assert not held.silence.turn(time.monotonic() + turn * 0.25, "hog")


CRASH = "import ctypes; faulthandler.enable(file=1, all_threads=False); ctypes.string_at(0)"


def test_a_crash_is_named_by_the_stack_that_the_process_writes(tmp_path: Path) -> None:
    """Native code: no Python runs any more. What faulthandler writes beside the stack is no sign of life."""
    one = Held(tmp_path, CRASH)
    one.silence.hear("hosts", f"hog {one.module.parent}", time.monotonic())
    one.silence.hear("holds", "other 0.3 0.25 /b/other.py:3 f", time.monotonic())
    assert one.process.wait(10) == -signal.SIGSEGV
    for line in one.process.communicate()[0].decode().splitlines():
        assert one.silence.hear_stack(line), line
    one.silence.crash("killed by SIGSEGV")
    assert (one.silence.offender, one.silence.kind) == ("hog", "crashed")
    assert one.silence.stack[-2:] == [f"{one.module}:6 held", f"{one.module}:7 <module>"]
    assert "(killed by SIGSEGV)" in one.silence.why


def test_the_last_words_of_a_child_of_its_own_are_not_its(held: Held) -> None:
    """A module may fork: the node lives on, and is heard."""
    for line in ("Fatal Python error: Segmentation fault", '  File "/b/hog.py", line 3 in f', "Extension modules: x"):
        assert held.silence.hear_stack(line)
    assert not held.silence.hear_stack(".")
    assert held.silence.stack == []


def test_a_crash_that_no_module_was_in_names_nobody(tmp_path: Path) -> None:
    """It may be ours, or the interpreter's."""
    one = Held(tmp_path, CRASH)
    assert one.process.wait(10) == -signal.SIGSEGV
    for line in one.process.communicate()[0].decode().splitlines():
        one.silence.hear_stack(line)
    one.silence.crash("killed by SIGSEGV")
    assert one.silence.offender == ""
