"""Bundles on disk, and a fresh interpreter for what would change this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PRELUDE = """
import gc, importlib, sys, threading, types
from pathlib import Path
from gridlink.errors import Closed, ModuleInvalid
from nodemanager.isolation import Isolation, NotHostable

isolation = Isolation()
root = Path({root!r})
app = {app!r}

def bundle(name, files):
    for path, text in files.items():
        root.joinpath(name, path).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(name, path).write_text(text)
    return root / name

def load(name, files, entry="app:use", **options):
    return isolation.load(bundle(name, files), entry, name=name, **options)

def refused(error, call, *args, **options):
    try:
        call(*args, **options)
    except error as caught:
        return str(caught) or "refused"
    raise AssertionError(f"{{error}} expected")
"""


def outdented(source: str) -> str:
    """The source without the indentation of its first line; put code for bundles into `app`."""
    lines = source.strip("\n").splitlines()
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(margin) for line in lines)


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., str]:
    """Runs source code in an interpreter of its own, where warnings are errors. `app`: code for its bundles."""

    def run(source: str, *arguments: str, app: str = "", timeout_s: float = 50, warnings: str = "error") -> str:
        root = tmp_path / "bundles"
        root.mkdir(exist_ok=True)
        child = subprocess.run(
            [
                sys.executable,
                f"-W{warnings}",
                "-c",
                PRELUDE.format(root=str(root), app=app) + outdented(source),
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)},
        )
        assert child.returncode == 0, f"exit status {child.returncode}\n{child.stdout}\n{child.stderr[-4000:]}"
        return child.stdout

    return run
