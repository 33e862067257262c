"""A running site for all tests that look at one: the six bundles under a real `gridlink-node`, started once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What a generated test finds must not depend on how busy the machine is: hypothesis fails an example of 200 ms.
settings.register_profile("gridlink", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gridlink")

# A shell without job control starts what it puts into the background with SIGINT ignored, and so would its children be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

BIN = Path(sys.executable).parent
BUNDLES = Path(__file__).parents[1] / "modules"
SETTLED_WITHIN_S = 40.0


def clean_environment() -> dict[str, str]:
    """The environment without what would lead a command to another site."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("NATS_", "GRIDLINK_"))}


def command(*arguments: str | Path, program: str = "gridlink") -> list[str]:
    """A command line of one of our programs."""
    return [str(BIN / program), *map(str, arguments)]


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The managed directory of a node that runs the use case; it ends with the session.

    Tests share it: what one changes in it, another may meet.
    """
    managed = tmp_path_factory.mktemp("site") / "managed"
    shutil.copytree(BUNDLES, managed, ignore=shutil.ignore_patterns("__pycache__"))
    output = managed.parent / "node.out"
    with output.open("w") as file:
        node = subprocess.Popen(
            command("--manage", managed, "--no-view", "--for", "3600", program="gridlink-node"),
            stdout=file,
            stderr=file,
            env=clean_environment(),
        )
    try:
        _wait_settled(node, managed, output)
        yield managed
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait(timeout=40)


def _wait_settled(node: subprocess.Popen[bytes], managed: Path, output: Path) -> None:
    deadline_s = time.monotonic() + SETTLED_WITHIN_S
    ask = command("-C", managed, "call", "appmanager", "status", "--json")
    while True:
        done = subprocess.run(ask, capture_output=True, text=True, env=clean_environment(), check=False)
        if done.returncode == 0 and json.loads(done.stdout)["settled"]:
            return
        if node.poll() is not None or time.monotonic() > deadline_s:
            raise AssertionError(f"the site did not come up: {done.stderr}\n{output.read_text()}")
        time.sleep(0.1)
