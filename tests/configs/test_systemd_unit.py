"""The systemd unit that is delivered: systemd accepts it, and its times fit the guardian's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appmanager.guardian.child import FIRST_WORD_S, SILENT_S
from appmanager.guardian.guardian import STOP_WITHIN_S
from gridlink.restart import RestartHistory

UNIT = Path(__file__).parents[2] / "configs" / "systemd" / "gridlink.service"


def setting(name: str) -> str:
    """The value of a setting of the unit; it must be there once."""
    (found,) = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]
    return found


def test_the_watchdog_waits_longer_than_the_guardian_needs_to_replace_a_node_that_hangs() -> None:
    """Else systemd ends all modules while the guardian is mending one node."""
    history = RestartHistory()
    waits_s = [history.failed(0.0) for _ in range(history.intensity)]
    longest_wait_s = max(wait_s for wait_s in waits_s if wait_s is not None)
    assert float(setting("WatchdogSec")) > SILENT_S + longest_wait_s + FIRST_WORD_S
    assert float(setting("TimeoutStartSec")) > FIRST_WORD_S
    assert float(setting("TimeoutStopSec")) > STOP_WITHIN_S


def test_the_guardian_alone_is_told_to_end_and_its_cgroup_is_its_own() -> None:
    """It ends modules in order, and limits them; one that the kernel kills doesn't end the unit."""
    assert setting("Type") == "notify"
    assert setting("KillMode") == "mixed"
    assert {"memory", "cpu"} <= set(setting("Delegate").split())
    assert setting("OOMPolicy") == "continue"
    assert "ProtectControlGroups=yes" not in UNIT.read_text()


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` of the file as it is, but for the program, which this machine has elsewhere."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze isn't installed")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/gridlink/bin/gridlink-node", shutil.which("true") or "/bin/true"))
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, [])
