"""`table.py < results`: the table of `make board-test`, and whether what is wanted was reached (its exit status)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

WANTED_MIB = {"process": 250, "node": 390, "fork": 330}  # MemAvailable that must be left
PROVISIONING_MIB = {"node": 300}  # and at every moment while a module is provisioned
COLUMNS = (
    ("s until RUNNING", "running_after_s"),
    ("Python processes", "python_processes"),
    ("their PSS", "python_pss_mib"),
    ("nats-server PSS", "nats_server_pss_mib"),
    ("MemAvailable before", "available_before_mib"),
    ("MemAvailable left", "available_mib"),
    ("least while provisioning", "provisioning_mib"),
)


def problems(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong, a sentence each."""
    found = []
    by_mode = {result["mode"]: result for result in results}
    for mode, wanted_mib in WANTED_MIB.items():
        result = by_mode.get(mode)
        if result is None:
            found.append(f"{mode}: it wasn't run")
        elif result["problem"]:
            found.append(f"{mode}: {result['problem']}")
        elif result["available_mib"] < wanted_mib:
            found.append(f"{mode}: {result['available_mib']} MiB are left, wanted are {wanted_mib}")
        elif mode in PROVISIONING_MIB and result["provisioning_mib"] < PROVISIONING_MIB[mode]:
            least_mib, more_mib = result["provisioning_mib"], PROVISIONING_MIB[mode]
            found.append(f"{mode}: {least_mib} MiB were left while provisioning, wanted are {more_mib}")
    return found


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """The results as text, a row a mode."""
    rows = [("mode", *(title for title, _ in COLUMNS), "wanted")]
    for result in results:
        values = (str(result.get(key, "-")) for _, key in COLUMNS)
        rows.append((result["mode"], *values, f">= {WANTED_MIB[result['mode']]}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    """Reads lines of JSON, other lines are passed on."""
    results = []
    for line in sys.stdin:
        if line.startswith("{"):
            results.append(json.loads(line))
        else:
            print(line, end="")
    print("Seven modules on a 512 MB arm64 board (emulated: the seconds say nothing), MiB")
    print(table(results))
    wrong = problems(results)
    print("\n".join(wrong) if wrong else "all run, and leave what is wanted")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
