"""Equal pages of forked processes may be merged by the kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appmanager.guardian import merging

ALLOW = """
import sys
from appmanager.guardian import merging
if sys.argv[1] == "before 6.4":
    merging.PR_SET_MEMORY_MERGE = 0xBAD  # no such operation: as an older kernel answers
merging.allow()
flags = [line.split()[1:] for line in open("/proc/self/smaps") if line.startswith("VmFlags:")]
import os
if os.fork() == 0:  # a child has it from its parent
    flags = [line.split()[1:] for line in open("/proc/self/smaps") if line.startswith("VmFlags:")]
    os._exit(sum("mg" in one for one in flags))
print(sum("mg" in one for one in flags), os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize("kernel", ["before 6.4", "of today"])
def test_memory_is_offered_for_merging_and_children_inherit_that(kernel: str) -> None:
    """By the one call of newer kernels, or mapping by mapping."""
    if not Path(merging.SWITCH).exists():
        pytest.skip("this kernel merges no pages")
    done = subprocess.run([sys.executable, "-c", ALLOW, kernel], capture_output=True, text=True, check=True)
    ours, the_childs = map(int, done.stdout.split())
    assert ours >= the_childs > 3


def test_a_machine_that_merges_nothing_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off, or a kernel without it: then nothing is loaded for it."""
    switch = tmp_path / "run"
    monkeypatch.setattr(merging, "SWITCH", str(switch))
    assert not merging.is_on()
    switch.write_text("0\n")
    assert not merging.is_on()
    switch.write_text("1\n")
    assert merging.is_on()
