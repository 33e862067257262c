"""The tables of the model that `gridlink bench memory` fits, for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from gridlink.bench.model import EMPTY, INTERPRETER, NEW, OLD, SHARED


def model_table(model: dict[str, Any]) -> Table:
    """For each n what was predicted and measured, in both modes; below it the terms."""
    terms = dict(model["terms_mib"])
    shared, interpreter = terms.pop(SHARED), terms.pop(INTERPRETER)
    each = ", ".join(f"{name} {term:.2f}" for name, term in sorted(terms.items()))
    caption = (
        f"c = {interpreter:.2f}, shared pages once {shared:.2f}, guardian {model['guardian_mib'][OLD]:.2f} and "
        f"{model['guardian_mib'][NEW]:.2f}\nm_i: {each}\nthe modes cross at n = {model['crossing_n']:.2f}; "
        f"worst prediction {model['worst_error_percent']:.2f} % off (wanted: {model['within_percent']:g} %)"
    )
    table = Table("n", title="The model, all Python processes, MiB", caption=caption)
    for mode in (OLD, NEW):
        for column in (f"{mode}: predicted", "measured", "%"):
            table.add_column(column, justify="right")
    steps = {(step["n"], step["mode"]): step for step in model["by_n"]}
    for n in sorted({n for n, _ in steps}):
        table.add_row(str(n), *(cell for mode in (OLD, NEW) for cell in _cells(steps[n, mode])))
    return table


def residuals_table(model: dict[str, Any]) -> Table:
    """The runs that the model was fitted to, each with its residual."""
    caption = f"root of the mean square: {model['residuals_rms_mib']:.2f} MiB"
    table = Table("mode", "modules", title="What it was fitted to, without the guardian, MiB", caption=caption)
    table.add_column("measured", justify="right")
    table.add_column("residual", justify="right")
    for run in model["runs"]:
        modules = "a node without modules" if run["mode"] == EMPTY else ", ".join(run["modules"])
        table.add_row(run["mode"], modules, f"{run['measured_mib']:.2f}", f"{run['residual_mib']:+.2f}")
    return table


def _cells(step: dict[str, Any]) -> tuple[str, str, str]:
    return f"{step['predicted_mib']:.1f}", f"{step['measured_mib']:.1f}", f"{step['error_percent']:+.2f}"
