"""Commands as a shell runs them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment, command


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Gridlink = Callable[..., Done]


def run(*arguments: str | Path, stdin: str = "", cwd: Path | None = None, **environment: str) -> Done:
    """Runs `gridlink` and returns how it ended."""
    done = subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean_environment() | environment,
        timeout=30,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def gridlink() -> Gridlink:
    """Runs `gridlink` with arguments, and nothing of this environment that names a site."""
    return run


@pytest.fixture
def on_site(running_site: Path) -> Gridlink:
    """Runs `gridlink -C` on the running site."""

    def run_there(*arguments: str | Path, stdin: str = "", cwd: Path | None = None, **environment: str) -> Done:
        return run("-C", running_site, *arguments, stdin=stdin, cwd=cwd, **environment)

    return run_there
