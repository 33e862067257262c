"""`gridlink show`: one module's contract, state and counters; the schemas are asked of its node by digest."""

from __future__ import annotations

from typing import Any

import click

from gridlink.address import NODE
from gridlink.cli.brief import brief
from gridlink.cli.ls import fields
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.session import Session, run, session
from gridlink.errors import GridlinkError
from gridlink.lifecycle import State
from gridlink.registry import Entry


@click.command()
@click.argument("name", metavar="NAME|INSTANCE")
@click.option("--memory", is_flag=True, help="What it takes, instead: its process, and its own Python objects.")
@click.option(
    "--trace",
    "trace_s",
    type=click.FloatRange(min=0.1, max=600),
    metavar="S",
    help="With --memory: watch for S seconds which of its lines allocate what stays.",
)
@JSON
@click.pass_obj
def command(options: Options, name: str, memory: bool, trace_s: float | None, as_json: bool) -> None:
    """Show a module: description, state, requests, events and counters; --json has the JSON Schemas."""
    if trace_s is not None and not memory:
        raise click.UsageError("--trace goes with --memory")
    if memory:
        from gridlink.cli.show_memory import show_memory  # noqa: PLC0415 - its types are for this alone

        run(show_memory(options, name, trace_s, as_json))
        return
    run(_show(options, name, as_json))


async def _show(options: Options, name: str, as_json: bool) -> None:
    async with session(options) as site:
        shown = [await described(site, entry) for entry in site.named(name)]
    if as_json:
        print_json({"modules": shown})
        return
    for number, one in enumerate(shown):
        if number:
            click.echo()
        _print(one)


async def described(site: Session, entry: Entry) -> dict[str, Any]:
    """An instance for programs: what `ls` has, its contract with JSON Schemas, and its counters."""
    schemas: dict[str, Any] = {}
    digests = {
        digest
        for part in (entry.requests, entry.publishes, entry.subscribes)
        for d in part.values()
        for digest in d.values()
    }
    for digest in sorted(digests):
        schemas[digest] = await site.registry.schema(digest, entry)

    def resolved(digests: dict[str, dict[str, str]]) -> dict[str, Any]:
        return {name: {part: schemas[digest] for part, digest in one.items()} for name, one in digests.items()}

    return {
        **fields(entry),
        "managers": _managers(site, entry),
        "requests": resolved(entry.requests),
        "publishes": resolved(entry.publishes),
        "subscribes": resolved(entry.subscribes),
        "counters": await _counters(site, entry),
        "health": await _health(site, entry) if entry.state is State.RUNNING else None,
    }


def _managers(site: Session, entry: Entry) -> list[dict[str, str]]:
    """Who starts and stops it: an AppManager, by commands to which it is provisioned, a NodeManager, or both."""
    known = {one.instance: one for one in site.registry.instances()}
    return [{"how": _how(known.get(name)), "instance": name} for name in entry.managed_by]


def _how(manager: Entry | None) -> str:
    if manager is None:
        return "managed"  # by one that is gone
    if "host" in manager.requests:
        return "node-managed"
    return "app-managed" if "appmanager" in manager.roles else "managed"


async def _counters(site: Session, entry: Entry) -> dict[str, Any] | None:
    try:
        found = await site.plain.request(f"{NODE}@{entry.node}", "counters", timeout_s=2.0)
    except GridlinkError:
        return None  # the module's node is gone or silent: what is known of it is shown all the same
    counters: dict[str, Any] | None = found.get(entry.instance)
    return counters


async def _health(site: Session, entry: Entry) -> dict[str, str] | None:
    """What the module says of itself: why it isn't healthy, and why it is busy; empty where it is neither."""
    try:
        found: dict[str, str] = await site.plain.request(
            f"{NODE}@{entry.node}", "health", entry.instance, timeout_s=5.0
        )
    except GridlinkError:
        return None  # as above
    return found


def _print(one: dict[str, Any]) -> None:
    where = f"version {one['version']}, mode {one['mode']}, pid {one['pid']}, machine {one['machine']}"
    click.echo(f"{one['instance']}  {one['state']}  {where}")
    for text in (one["reason"], one["description"]):
        if text:
            click.echo(text)
    for what, why in (one["health"] or {}).items():
        if why:
            click.echo(f"{what}: {why}")
    if one["roles"]:
        click.echo(f"roles: {', '.join(one['roles'])}")
    if one["managers"]:
        click.echo(", ".join(f"{manager['how']} by {manager['instance']}" for manager in one["managers"]))
    counters = one["counters"] or {}
    served = counters.get("by_type", {})
    requests: list[tuple[str, ...]] = [
        (name, _served(served.get(name)), brief(part["payload"]), brief(part["reply"]))
        for name, part in sorted(one["requests"].items())
    ]
    for title, rows in (
        (("request", "served", "payload", "reply"), requests),
        (("publishes on", "type", "payload"), _events(one["publishes"])),
        (("subscribes to", "type", "payload"), _events(one["subscribes"])),
    ):
        if rows:
            click.echo()
            print_table(title, rows)
    if counters:
        click.echo()
        click.echo("  ".join(f"{name} {number}" for name, number in counters.items() if isinstance(number, int)))


def _served(of_type: dict[str, Any] | None) -> str:
    if of_type is None:
        return ""
    return f"{of_type['requests']}, {of_type['errors']} errors" if of_type["errors"] else str(of_type["requests"])


def _events(topics: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(topic, name, brief(schema)) for topic, events in topics.items() for name, schema in events.items()]
