"""What `gridlink bench update` and `bench install` found, as tables."""

from __future__ import annotations

from typing import Any


def update_table(report: dict[str, Any]) -> Any:
    """A row a figure."""
    from rich.table import Table  # noqa: PLC0415 - for people alone

    table = Table("figure", "", title=f"{report['updates']} updates in mode {report['mode']}")
    table.columns[1].justify = "right"
    for name in ("rate_per_s", "sent", "answered", "lost", "duplicated", "longest_gap_ms", "longest_wait_ms"):
        table.add_row(name, str(report[name]))
    return table


def install_table(report: dict[str, Any]) -> Any:
    """A row a figure."""
    from rich.table import Table  # noqa: PLC0415 - for people alone

    title = f"{report['installs']} installs of a small bundle in mode {report['mode']}, until RUNNING"
    table = Table("figure", "", title=title)
    table.columns[1].justify = "right"
    for name in ("first_ms", "median_ms", "longest_ms"):
        table.add_row(name, str(report[name]))
    return table
