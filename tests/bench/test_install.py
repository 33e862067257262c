"""`gridlink bench install`: what it reports, and that it measures."""

from __future__ import annotations

import json
import subprocess

import pytest

from gridlink.bench.install import report
from tests.conftest import clean_environment, command


def test_the_first_one_the_median_and_the_longest_are_told() -> None:
    """The first one loads what the others find."""
    assert report("node", [0.9, 0.2, 0.3]) == {
        "mode": "node",
        "installs": 3,
        "first_ms": 900.0,
        "median_ms": 300.0,
        "longest_ms": 900.0,
    }


@pytest.mark.parametrize("mode", ["node", "fork"])
def test_an_install_is_measured_until_the_module_is_running(mode: str) -> None:
    """The second that is wanted is for a quiet machine."""
    typed = command("bench", "install", "--mode", mode, "--installs", "2", "--json")
    done = subprocess.run(typed, capture_output=True, text=True, env=clean_environment(), timeout=50)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["mode"], found["installs"]) == (mode, 2)
    assert 10 < found["median_ms"] <= found["longest_ms"] < 10_000
