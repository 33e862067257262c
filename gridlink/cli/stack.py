"""`gridlink stack`: where every task and thread of a module is at this moment."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from gridlink.address import NODE
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json
from gridlink.cli.session import run, session
from gridlink.node.footprint.stacks import TaskStack


@click.command()
@click.argument("name", metavar="NAME|INSTANCE")
@JSON
@click.pass_obj
def command(options: Options, name: str, as_json: bool) -> None:
    """Show where every task and thread of a module is, the innermost frame first.

    A module that holds the loop can't answer: the watchdog logs its stack.
    """
    run(_stack(options, name, as_json))


async def _stack(options: Options, name: str, as_json: bool) -> None:
    found: dict[str, tuple[TaskStack, ...]] = {}
    async with session(options) as site:
        for entry in site.named(name):
            found[entry.instance] = await site.plain.request(
                f"{NODE}@{entry.node}", "stacks", entry.instance, reply=tuple[TaskStack, ...], timeout_s=5.0
            )
    if as_json:
        print_json({"modules": [_document(instance, stacks) for instance, stacks in found.items()]})
        return
    for instance, stacks in found.items():
        click.echo(f"{instance}  {len(stacks)} tasks and threads")
        for one in stacks:
            waits = f", waits for {one.waits_for}" if one.waits_for else ""
            click.echo(f"\n{one.kind} {one.name}{waits}")
            for frame in one.frames:
                click.echo(f"  {frame}")


def _document(instance: str, stacks: tuple[TaskStack, ...]) -> dict[str, Any]:
    return {"instance": instance, "tasks": [asdict(one) for one in stacks]}
