"""`gridlink bench`: measures this machine. Each benchmark prints a table for people, or JSON for programs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from gridlink.bench import plot
from gridlink.errors import GridlinkError

PLOT = click.option("--plot", "picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw it: .png or .svg.")
JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Measure memory and the use case on this machine."""


def _modes(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    from gridlink.bench.memory import MODES  # noqa: PLC0415 - the run's own imports, when it runs

    modes = tuple(dict.fromkeys(value.split(",")))
    if not set(modes) <= MODES.keys():
        raise click.BadParameter(f"expected one or more of {', '.join(MODES)}, came {value!r}")
    return modes


def _subsets(_: click.Context, __: click.Parameter, value: int) -> int:
    from gridlink.bench.subsets import BUNDLES  # noqa: PLC0415 - see above

    if 0 < value <= len(BUNDLES):
        raise click.BadParameter(f"expected 0, or {len(BUNDLES) + 1} or more (a term a bundle, and one), came {value}")
    return value


@command.command()
@JSON
@PLOT
@click.option(
    "--seconds", "settle_s", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Settle so long."
)
@click.option("--modes", default="process,fork,node", show_default=True, callback=_modes, help="What to compare.")
@click.option(
    "--subsets",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    callback=_subsets,
    help="Fit the model to so many, 7 or more; 0: don't.",
)
def memory(as_json: bool, picture: Path | None, settle_s: float, modes: tuple[str, ...], subsets: int) -> None:
    """The seven modules in processes of their own, fresh or forked, and in one node: PSS of all their processes.

    The guardian counts, nats-server is told apart. Beside them: what the libraries take in one bare process; and the
    paper's model, M_old = n c + sum of m_i and M_new = c + m_NodeManager + sum of m_i, fitted to random subsets of the
    modules, and what it predicts for n = 1 to 7 beside what is measured.
    """
    with _errors("memory"):
        if picture is not None:
            plot.check(picture)
        from gridlink.bench import memory as bench  # noqa: PLC0415 - see above

        report = asyncio.run(bench.memory(modes, settle_s, _say, subsets))
        _warn_diluted(report)
        _show(report, as_json, _memory_tables)
        if picture is not None:
            plot.draw("memory", picture, report)


@command.command()
@JSON
@PLOT
@click.option(
    "--speed", type=click.FloatRange(60, 20_000), default=2880.0, show_default=True, help="Site seconds a second."
)
@click.option(
    "--reference",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Other reference solutions: summer_reference.csv and winter_reference.csv.",
)
def grid(as_json: bool, picture: Path | None, speed: float, reference: Path | None) -> None:
    """The power flow against its references, and both days' voltages with the closed loop."""
    with _errors("grid"):
        if picture is not None:
            plot.check(picture)
        from gridlink.bench import grid as bench  # noqa: PLC0415 - see above

        report, curves = asyncio.run(bench.grid(speed, reference, _say))
        _show(report, as_json, _grid_table)
        if picture is not None:
            plot.draw("grid", picture, curves)


@command.command()
@JSON
@click.option("--requests", type=click.IntRange(min=16), default=3000, show_default=True, help="A path and round.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Each measures all paths.")
def messages(as_json: bool, requests: int, rounds: int) -> None:
    """Requests and events: nats-py alone and Gridlink, alternately, over NATS and within one node."""
    with _errors("messages"):
        from gridlink.bench import messages as bench  # noqa: PLC0415 - see above

        _show(asyncio.run(bench.messages(requests, rounds, _say)), as_json, _messages_table)


def _parts(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    from gridlink.bench.soak import PARTS  # noqa: PLC0415 - see above

    parts = tuple(dict.fromkeys(value.split(",")))
    if not set(parts) <= set(PARTS):
        raise click.BadParameter(f"expected one or more of {', '.join(PARTS)}, came {value!r}")
    return parts


@command.command()
@JSON
@click.option(
    "--parts", default="requests,events,registry", show_default=True, callback=_parts, help="What to run, in order."
)
@click.option("--requests", type=click.IntRange(min=16), default=1_000_000, show_default=True, help="In all.")
@click.option("--warm-up", type=click.IntRange(min=16), default=10_000, show_default=True, help="Of these, at first.")
@click.option("--events", type=click.IntRange(min=2048), default=200_000, show_default=True, help="To a stuck handler.")
@click.option("--nodes", type=click.IntRange(1, 500), default=50, show_default=True, help="Simulated ones.")
@click.option("--modules", type=click.IntRange(1, 100), default=20, show_default=True, help="Of each simulated node.")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Take processor time for so long."
)
def soak(as_json: bool, parts: tuple[str, ...], **amounts: Any) -> None:
    """Memory after many requests and under a flood, and a registry of many nodes: real nodes, real nats-server."""
    with _errors("soak"):
        from gridlink.bench import soak as bench  # noqa: PLC0415 - see above
        from gridlink.cli.soak_table import soak_table  # noqa: PLC0415 - for people alone

        _show(asyncio.run(bench.soak(parts, bench.Amounts(**amounts), _say)), as_json, soak_table)


@command.command()
@JSON
@click.option("--count", type=click.IntRange(11, 5000), default=1000, show_default=True, help="Modules in one node.")
@click.option("--requests", type=click.IntRange(min=100), default=5000, show_default=True, help="To any, each way.")
def modules(as_json: bool, count: int, requests: int) -> None:
    """Many trivial modules in one node, and what one more costs in each mode: memory, and time until RUNNING."""
    with _errors("modules"):
        from gridlink.bench import modules as bench  # noqa: PLC0415 - see above
        from gridlink.cli.soak_table import soak_table  # noqa: PLC0415 - for people alone

        report = asyncio.run(bench.modules(count, requests, _say))
        _show(report, as_json, partial(soak_table, title="Trivial modules"))


@command.command()
@JSON
@click.option("--mode", type=click.Choice(["node", "fork", "process"]), default="node", show_default=True)
@click.option("--installs", type=click.IntRange(min=1), default=5, show_default=True, help="So many, each anew.")
def install(as_json: bool, mode: str, installs: int) -> None:
    """A small bundle is installed: the time from the command until it is RUNNING; wanted is a second in mode node."""
    with _errors("install"):
        from gridlink.bench import install as bench  # noqa: PLC0415 - see above
        from gridlink.cli.update_table import install_table  # noqa: PLC0415 - for people alone

        report = asyncio.run(bench.install(mode, installs, _say))
        _show(report, as_json, install_table)


@command.command()
@JSON
@click.option("--mode", type=click.Choice(["node", "fork", "process"]), default="node", show_default=True)
@click.option(
    "--rate", "rate_per_s", type=click.IntRange(10, 5000), default=1000, show_default=True, help="Requests a second."
)
@click.option(
    "--updates", type=click.IntRange(min=1), default=5, show_default=True, help="So many, one after the other."
)
@click.option("--seconds", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Ask for so long.")
def update(as_json: bool, mode: str, rate_per_s: int, updates: int, seconds: float) -> None:
    """Updates of a module that is asked all the while: what is lost, done twice, and how long answers stay away."""
    with _errors("update"):
        from gridlink.bench import update as bench  # noqa: PLC0415 - see above
        from gridlink.cli.update_table import update_table  # noqa: PLC0415 - for people alone

        report = asyncio.run(bench.update(mode, rate_per_s, updates, seconds, _say))
        _show(report, as_json, update_table)


@command.command()
@JSON
@click.option(
    "--pairs", type=click.IntRange(min=0), default=12, show_default=True, help="Of nodes for its cost; 0: leave it out."
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="For false alarms; 0: leave them out.",
)
@click.option(
    "--burners", type=click.IntRange(0, 64), default=2, show_default=True, help="Processes that compute beside those."
)
def watchdog(as_json: bool, pairs: int, minutes: float, burners: int) -> None:
    """What the watchdog takes of a processor where nothing hangs, and false alarms in busy minutes.

    The cost wants a machine that does nothing else, a quarter of a minute a pair. The alarms want a busy one: ten
    modules that hold the loop for 0.1 s again and again, each in another way, beside processes that compute.
    """
    with _errors("watchdog"):
        from gridlink.bench import watchdog as bench  # noqa: PLC0415 - see above
        from gridlink.cli.soak_table import soak_table  # noqa: PLC0415 - for people alone

        report = asyncio.run(bench.watchdog(pairs, minutes, burners, _say))
        _show(report, as_json, partial(soak_table, title="Watchdog"))
        for blamed in report["blamed"]:
            click.echo(f"blamed in error: {json.dumps(blamed)}", err=True)


@contextmanager
def _errors(name: str) -> Iterator[None]:
    try:
        yield
    except GridlinkError as error:
        click.echo(f"gridlink bench {name}: {error}", err=True)
        sys.exit(1)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


def _warn_diluted(report: dict[str, Any]) -> None:
    others = report["diluted_by_pids"]
    if others:
        pids = ", ".join(map(str, others))
        text = f"other processes map this interpreter ({pids}): kernel_pss_mib is too small, pss_mib is not affected"
        click.echo(text, err=True)


def _show(report: dict[str, Any], as_json: bool, table: Callable[[dict[str, Any]], Any]) -> None:
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    from rich.console import Console  # noqa: PLC0415 - for people alone

    Console().print(table(report))


def _memory_tables(report: dict[str, Any]) -> Any:
    from rich.console import Group  # noqa: PLC0415 - for people alone

    from gridlink.cli.model_table import model_table, residuals_table  # noqa: PLC0415 - for people alone

    model = report["model"]
    more = [] if model is None else [model_table(model), residuals_table(model)]
    return Group(_memory_table(report), *more)


def _memory_table(report: dict[str, Any]) -> Any:
    from rich.table import Table  # noqa: PLC0415 - for people alone

    notes = [f"nats-server, apart: {report['nats_server_pss_mib']:.1f} MiB PSS"]
    if report["libraries_pss_mib"] is not None:
        notes.insert(0, f"the node's libraries in one bare process: {report['libraries_pss_mib']:.1f} MiB PSS")
    if report["ratio_process_to_node"] is not None:
        notes.append(f"process : node = {report['ratio_process_to_node']:.2f}")
    if report["ratio_fork_to_process"] is not None:
        notes.append(f"fork : process = {report['ratio_fork_to_process']:.2f}")
    title = f"Memory of seven modules after {report['settled_s']:g} s, MiB"
    table = Table("", *report["modes"], title=title, caption="\n".join(notes))
    for column in table.columns[1:]:
        column.justify = "right"
    modes = report["modes"].values()
    for row, name in (("PSS", "pss_mib"), ("USS", "uss_mib"), ("RSS", "rss_mib")):
        table.add_row(row, *(f"{mode[name]:.1f}" for mode in modes), style="bold" if row == "PSS" else "")
    table.add_row("processes", *(str(mode["processes"]) for mode in modes))
    table.add_row("s until RUNNING", *(str(mode["running_after_s"]) for mode in modes), end_section=True)
    for name in dict.fromkeys(name for mode in modes for name in mode["by_module"]):
        table.add_row(name, *(_cell(mode["by_module"], name) for mode in modes))
    return table


def _cell(by_module: dict[str, float | None], name: str) -> str:
    if name not in by_module:
        return ""
    pss = by_module[name]
    return "in node" if pss is None else f"{pss:.1f}"


def _messages_table(report: dict[str, Any]) -> Any:
    from rich.table import Table  # noqa: PLC0415 - for people alone

    caption = "\n".join(f"{name}: {value:.2f}" for name, value in report["ratios"].items())
    table = Table("path", "pattern", "bytes", "concurrency", "p50 us", "p99 us", "per s", caption=caption)
    for row in report["rows"]:
        times = [f"{row[name]:.0f}" if row[name] is not None else "" for name in ("p50_us", "p99_us")]
        numbers = [str(row[name]) for name in ("payload_bytes", "concurrency")]
        table.add_row(row["path"], row["pattern"], *numbers, *times, f"{row['per_s']:.0f}")
    return table


def _grid_table(report: dict[str, Any]) -> Any:
    from rich.table import Table  # noqa: PLC0415 - for people alone

    flow = report["power_flow"]
    caption = (
        f"power flow: {flow['solutions']} solutions, {flow['buses']} buses, error {flow['max_error_pu']:.1e} pu,"
        f" {flow['solution_ms']:.3f} ms each\n"
        f"one fixed tap ({report['fixed_tap_both_days']:+d}) for both days: "
        f"{report['fixed_tap_both_days_outside_en50160_quarter_hours']} quarter hours outside EN 50160"
    )
    table = Table(
        "day", "outside EN 50160", "outside 0.95..1.05", "tap steps", "best fixed tap: outside 0.95..1.05",
        title="Closed loop, quarter hours with any bus outside", caption=caption,
    )  # fmt: skip
    for day in report["days"]:
        table.add_row(
            day["day"],
            f"{day['outside_en50160_quarter_hours']:.2f}",
            f"{day['outside_band_quarter_hours']:.2f}",
            str(day["tap_steps"]),
            f"{day['best_fixed_outside_band_quarter_hours']} (tap {day['best_fixed_tap']:+d})",
        )
    return table
