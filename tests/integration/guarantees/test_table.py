"""docs/bus.md promises what is lost when: a row for each fault and kind of message, and tests that exist for each."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "bus.md"
HERE = Path("tests")
FAULTS = (
    "The sender dies",
    "The receiver dies",
    "The server dies",
    "A partition",
    "The receiver is slow",
    "A node stops",
)
KINDS = ("request", "idempotent request", "send", "event", "durable event")


def sections() -> dict[str, str]:
    """The text under each fault's heading."""
    parts = re.split(r"^### (.+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> dict[str, list[str]]:
    """The tests of each kind of message."""
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): named(row[2]) for row in cells[2:]}


def named(text: str) -> list[str]:
    """The tests that a text names."""
    return re.findall(r"`([\w/]+\.py::[^`]+)`", text)


@cache
def collected() -> frozenset[str]:
    """Every test that pytest finds in the files that the document names; parametrised ones also without parameters."""
    files = sorted({str(HERE / name.partition("::")[0]) for name in named(DOCUMENT.read_text())})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line.removeprefix(f"{HERE}/") for line in done.stdout.splitlines() if "::" in line}
    return frozenset(found | {name.partition("[")[0] for name in found})


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_a_row_for_each_kind_of_message(fault: str) -> None:
    """A reader must not have to guess."""
    (text,) = [text for heading, text in sections().items() if heading.startswith(fault)]
    assert list(rows(text)) == list(KINDS)


def test_each_row_names_tests_that_exist() -> None:
    """A promise that nothing holds is none."""
    for heading, text in sections().items():
        for kind, tests in rows(text).items():
            assert tests, f"{heading}: {kind} names no test"
            assert set(tests) <= collected(), f"{heading}: {kind} names {set(tests) - collected()}"
    assert set(named(DOCUMENT.read_text())) <= collected()
