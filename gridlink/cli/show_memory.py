"""`gridlink show MODULE --memory`: what its process takes, and which of that are the module's own Python objects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from gridlink.address import NODE
from gridlink.cli.options import Options
from gridlink.cli.output import print_json, print_table
from gridlink.cli.session import Session, session
from gridlink.cli.top_model import MIB
from gridlink.node.footprint.allocations import Allocations
from gridlink.node.footprint.objects import Objects
from gridlink.node.footprint.report import NodeFootprint
from gridlink.registry import Entry

WALK_S = 20.0  # a walk over all objects ends after half of that by itself


async def show_memory(options: Options, name: str, trace_s: float | None, as_json: bool) -> None:
    """Prints it for each instance of the name. Raises NoSuchInstance, RequestTimeout."""
    async with session(options) as site:
        found = [await memory_of(site, entry, trace_s) for entry in site.named(name)]
    if as_json:
        print_json({"modules": found})
        return
    for number, one in enumerate(found):
        if number:
            click.echo()
        _print(one)


async def memory_of(site: Session, entry: Entry, trace_s: float | None) -> dict[str, Any]:
    """An instance for programs: bytes. Raises NoSuchInstance where it doesn't run."""
    node = f"{NODE}@{entry.node}"
    objects = await site.plain.request(node, "objects", entry.instance, reply=Objects, timeout_s=WALK_S)
    footprint = await site.plain.request(node, "footprint", {}, reply=NodeFootprint, timeout_s=2.0)
    module = next(one for one in footprint.modules if one.instance == entry.instance)
    traced = await _traced(site, entry, trace_s) if trace_s is not None else None
    return {
        "instance": entry.instance,
        "mode": entry.mode,
        "declared_mib": module.declared_mib,
        "process": asdict(footprint.processes[0]),
        "shares_process_with": [one.instance for one in footprint.modules if one.instance != entry.instance],
        "objects": asdict(objects),
        "allocations": asdict(traced) if traced is not None else None,
    }


async def _traced(site: Session, entry: Entry, for_s: float) -> Allocations:
    question = {"instance": entry.instance, "for_s": for_s}
    return await site.plain.request(
        f"{NODE}@{entry.node}", "allocations", question, reply=Allocations, timeout_s=for_s + WALK_S
    )


def _print(one: dict[str, Any]) -> None:
    process, objects = one["process"], one["objects"]
    others = one["shares_process_with"]
    with_whom = f"shared with {len(others)} other modules" if others else "its own"
    click.echo(f"{one['instance']}  process {process['pid']}, {with_whom}")
    sizes = [f"{title} {_mib(process[key])}" for title, key in (("PSS", "pss_bytes"), ("USS", "uss_bytes"))]
    click.echo("  ".join([*sizes, f"RSS {_mib(process['rss_bytes'])}"]))
    if one["declared_mib"] is not None:
        click.echo(f"its manifest declares {one['declared_mib']:g} MiB (resources.memory_mib)")
    code, more = _mib(objects["code_bytes"]), "" if objects["complete"] else ", and more: the walk took too long"
    click.echo(f"Python objects: {objects['count']}, {_mib(objects['size_bytes'])}, of it code {code}{more}")
    click.echo()
    rows = [(kind["type"], str(kind["count"]), f"{kind['size_bytes'] / 1024:.1f}") for kind in objects["kinds"]]
    print_table(("type", "objects", "KiB"), rows)
    if one["allocations"] is not None:
        _print_allocations(one["allocations"])


def _print_allocations(traced: dict[str, Any]) -> None:
    click.echo()
    click.echo(f"allocated in {traced['for_s']:g} s, and still there: {traced['size_bytes'] / 1024:.1f} KiB")
    rows = [(line["at"], str(line["count"]), f"{line['size_bytes'] / 1024:.1f}") for line in traced["lines"]]
    if rows:
        print_table(("line", "objects", "KiB"), rows)


def _mib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / MIB:.2f} MiB"
