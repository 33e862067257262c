"""`python -m gridlink.bench.plot FIGURE FILE`: draws the JSON on stdin with matplotlib, in a process of its own.

The ending of FILE says the format, .png or .svg. matplotlib comes with the extra `bench`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gridlink.bench.errors import BenchFailed

ENDINGS = (".png", ".svg")
BLUE, ORANGE, GREY = "#1f5a99", "#d9822b", "#8a8a8a"


def check(file: Path) -> None:
    """Raises BenchFailed for what could not be drawn later: no matplotlib, another ending, no directory."""
    if file.suffix not in ENDINGS:
        raise BenchFailed(f"--plot {file}: expected a file ending in {' or '.join(ENDINGS)}, came {file.suffix!r}")
    if not file.absolute().parent.is_dir():
        raise BenchFailed(f"--plot {file}: there is no directory {file.absolute().parent}: make it first")
    if find_spec("matplotlib") is None:
        raise BenchFailed("--plot needs matplotlib, which isn't installed: pip install 'gridlink[bench]'")


def draw(figure: str, file: Path, data: Mapping[str, Any]) -> None:
    """Has a figure of FIGURES drawn into a file. Raises BenchFailed with what matplotlib said last."""
    command = [sys.executable, "-m", "gridlink.bench.plot", figure, str(file)]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise BenchFailed(f"--plot {file}: it could not be drawn; matplotlib said: {said}")


def segments(report: Mapping[str, Any], mode: str) -> list[tuple[str, float]]:
    """The parts of a mode's bar, from the bottom, in MiB; modules that share a process are one part."""
    parts = {name: pss for name, pss in report["modes"][mode]["by_module"].items() if pss is not None}
    first = [("guardian", parts.pop("guardian"))] if "guardian" in parts else []
    if "node" in parts:
        parts["node: libraries, Gridlink, all modules"] = parts.pop("node")
    return first + sorted(parts.items())


def memory_figure(report: Mapping[str, Any]) -> Any:
    """One stacked bar a mode, after Figure 8 of the paper, and one for the libraries in a bare process.

    Beside them, where a model was fitted: what it says for n modules, what was measured, and its residuals.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - in this process alone

    bars = {f"--mode {mode}": segments(report, mode) for mode in report["modes"]}
    if report["libraries_pss_mib"] is not None:
        bars["bare libraries"] = [("libraries, once", report["libraries_pss_mib"])]
    model, width = report.get("model"), 3.2 * len(bars) + 1.5
    figure: Any = Figure(figsize=(width + 7 if model else width, 6.5), layout="constrained")
    panel = figure
    if model:
        panel, beside = figure.subfigures(1, 2, width_ratios=(width, 7))
        _model(beside, model)
    axes = panel.subplots()
    highest = max(sum(height for _, height in parts) for parts in bars.values())
    for x, parts in enumerate(bars.values()):
        _stack(axes, x, parts)
    axes.set_xticks(range(len(bars)), list(bars))
    axes.set_ylim(0, highest * 1.1)
    axes.set_ylabel("PSS of all Python processes, MiB")
    axes.set_title(f"Seven modules of the use case (nats-server apart: {report['nats_server_pss_mib']:.1f} MiB)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _model(figure: Any, model: Mapping[str, Any]) -> None:
    """What the model says for n = 1, 2, ... and what was measured; below, the residuals of its runs."""
    totals, residuals = figure.subplots(2, 1, height_ratios=(3, 1))
    for mode, color in (("process", ORANGE), ("node", BLUE)):
        steps = [step for step in model["by_n"] if step["mode"] == mode]
        n = [step["n"] for step in steps]
        totals.plot(n, [step["predicted_mib"] for step in steps], color=color, label=f"mode {mode}, the model")
        totals.plot(n, [step["measured_mib"] for step in steps], "o", color=color, label=f"mode {mode}, measured")
        runs = [run for run in model["runs"] if run["mode"] == mode]
        residuals.plot([len(run["modules"]) for run in runs], [run["residual_mib"] for run in runs], "o", color=color)
    totals.set(title=f"The modes cross at n = {model['crossing_n']:.2f}", xlabel="modules", ylabel="MiB")
    totals.set_ylim(0)
    totals.legend(frameon=False)
    residuals.axhline(0, color=GREY, linewidth=1)
    residuals.set(title="Measured less fitted, random subsets", xlabel="modules", ylabel="MiB")
    for axes in (totals, residuals):
        axes.set_xticks(sorted({step["n"] for step in model["by_n"]}))
        axes.spines[["top", "right"]].set_visible(False)


def _stack(axes: Any, x: int, parts: list[tuple[str, float]]) -> None:
    bottom = 0.0
    for number, (name, height) in enumerate(parts):
        axes.bar(x, height, 0.9, bottom=bottom, color=(BLUE, ORANGE)[number % 2], alpha=0.5, edgecolor="white")
        axes.text(x, bottom + height / 2, f"{name} {height:.1f}", ha="center", va="center", fontsize=8.5)
        bottom += height
    axes.text(x, bottom, f"{bottom:.1f} MiB", ha="center", va="bottom", fontsize=11, fontweight="bold")


def grid_figure(data: Mapping[str, Any]) -> Any:
    """Both days' lowest and highest voltage with control and with the tap changer at rest, and the limits."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - in this process alone

    figure = Figure(figsize=(12, 5), layout="constrained")
    panels = figure.subplots(1, len(data["days"]), sharey=True)
    for axes, day in zip(panels, data["days"], strict=True):
        _band(axes, day["fixed"], GREY, "tap changer at rest (tap 0)", 0.35)
        _band(axes, day["control"], BLUE, "with control", 0.45)
        for (name, limits), style in zip(data["limits_pu"].items(), ("-", "--"), strict=True):
            for number, limit in enumerate(limits):
                axes.axhline(limit, color=ORANGE, linestyle=style, linewidth=1.2, label=name if number == 0 else None)
        axes.set(title=f"{day['day']} day", xlabel="hour", xlim=(0, 24), xticks=range(0, 25, 4), ylim=(0.86, 1.14))
        axes.grid(visible=True, alpha=0.25)
    panels[0].set_ylabel("lowest to highest voltage of all buses, pu")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _band(axes: Any, curve: list[tuple[float, float, float]], color: str, label: str, alpha: float) -> None:
    hours, lowest, highest = zip(*[*curve, (24.0, *curve[-1][1:])], strict=True)
    axes.fill_between(hours, lowest, highest, step="post", color=color, alpha=alpha, linewidth=0, label=label)
    for values in (lowest, highest):
        axes.step(hours, values, where="post", color=color, linewidth=1.2)


FIGURES = {"memory": memory_figure, "grid": grid_figure}


def main() -> None:
    """Draws what stdin brings."""
    figure, file = sys.argv[1:]
    FIGURES[figure](json.load(sys.stdin)).savefig(file, dpi=150)


if __name__ == "__main__":
    main()
