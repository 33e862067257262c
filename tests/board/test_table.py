"""The table of `make board-test` fails where it should."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.table import problems, table

GOOD: dict[str, dict[str, Any]] = {
    "process": {
        "mode": "process",
        "problem": "",
        "available_mib": 250.0,
        "python_pss_mib": 117.0,
    },
    "fork": {"mode": "fork", "problem": "", "available_mib": 330.0, "python_pss_mib": 90.0},
    "node": {"mode": "node", "problem": "", "available_mib": 390.0, "provisioning_mib": 300.0, "python_pss_mib": 32.0},
}


def test_what_is_wanted_is_enough() -> None:
    """At the limits nothing is wrong."""
    assert problems(GOOD.values()) == []


@pytest.mark.parametrize(
    ("mode", "change", "expected"),
    [
        ("node", {"available_mib": 389.9}, "node: 389.9 MiB are left, wanted are 390"),
        ("node", {"provisioning_mib": 299.9}, "node: 299.9 MiB were left while provisioning, wanted are 300"),
        ("fork", {"problem": "it ended with status 1"}, "fork: it ended with status 1"),
    ],
)
def test_too_little_and_a_run_that_failed_are_said(mode: str, change: dict[str, Any], expected: str) -> None:
    """Each of them makes the exit status 1."""
    assert problems((GOOD | {mode: GOOD[mode] | change}).values()) == [expected]


def test_a_mode_that_wasn_t_run_is_said() -> None:
    """A board that dies in the middle must not look like a success."""
    assert problems([GOOD["process"], GOOD["fork"]]) == ["node: it wasn't run"]


def test_the_table_has_a_row_a_mode_and_shows_what_is_missing() -> None:
    """A run that failed has no figures."""
    failed = {"mode": "node", "problem": "it ended"}
    lines = table([GOOD["process"], failed]).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[0] == "process"
    assert "117.0" in lines[1]
    assert lines[2].split()[1:8] == ["-"] * 7
