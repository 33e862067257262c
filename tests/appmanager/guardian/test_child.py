"""A child of the guardian from its first instruction on."""

from __future__ import annotations

import subprocess
import sys

TOLD_AT_ONCE = """
import os, signal, time
from appmanager.guardian import child as children
signal.signal(signal.SIGTERM, lambda *_: None)  # as the guardian has it
for _ in range(40):
    child = children.start("sleeper", lambda say, held: time.sleep(60) or 0)
    child.stop(60.0)
    deadline_s = time.monotonic() + 5
    while not (ended := os.waitpid(child.pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline_s:
            child.kill()
            raise SystemExit("a child didn't hear SIGTERM")
        time.sleep(0.001)
    assert os.waitstatus_to_exitcode(ended[1]) == -signal.SIGTERM, ended
    child.close()
"""


def test_a_child_that_is_told_to_end_as_soon_as_it_is_forked_ends() -> None:
    """For a moment it has the guardian's signal handlers: a SIGTERM that they took would be lost till it is killed."""
    done = subprocess.run([sys.executable, "-c", TOLD_AT_ONCE], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
