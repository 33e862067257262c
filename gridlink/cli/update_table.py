"""What `gridlink bench update` and `bench install` found, as tables."""

from __future__ import annotations

from typing import Any

_HELD = {True: "yes", False: "NO"}


def update_table(report: dict[str, Any]) -> Any:
    """A row a figure, beside the most that it may be."""
    from rich.table import Table  # noqa: PLC0415 - for people alone

    table = Table(
        "figure", "measured", "at most", "held", title=f"{report['updates']} updates in mode {report['mode']}"
    )
    table.columns[1].justify = table.columns[2].justify = "right"
    for name in ("rate_per_s", "sent", "answered", "lost", "duplicated", "longest_gap_ms", "longest_wait_ms"):
        most = report["at_most"].get(name)
        table.add_row(
            name,
            str(report[name]),
            "" if most is None else f"{most:g}",
            "" if most is None else _HELD[report["held"][name]],
        )
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
