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
from gridlink.registry import Entry


@click.command()
@click.argument("name", metavar="NAME|INSTANCE")
@JSON
@click.pass_obj
def command(options: Options, name: str, as_json: bool) -> None:
    """Show a module: description, state, requests, events and counters; --json has the JSON Schemas."""
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
        "requests": resolved(entry.requests),
        "publishes": resolved(entry.publishes),
        "subscribes": resolved(entry.subscribes),
        "counters": await _counters(site, entry),
    }


async def _counters(site: Session, entry: Entry) -> dict[str, Any] | None:
    try:
        found = await site.sender.request(f"{NODE}@{entry.node}", "counters", timeout_s=2.0)
    except GridlinkError:
        return None  # the module's node is gone or silent: what is known of it is shown all the same
    counters: dict[str, Any] | None = found.get(entry.instance)
    return counters


def _print(one: dict[str, Any]) -> None:
    where = f"version {one['version']}, mode {one['mode']}, pid {one['pid']}, machine {one['machine']}"
    click.echo(f"{one['instance']}  {one['state']}  {where}")
    for text in (one["reason"], one["description"]):
        if text:
            click.echo(text)
    if one["roles"]:
        click.echo(f"roles: {', '.join(one['roles'])}")
    if one["managed_by"]:
        click.echo(f"managed by: {', '.join(one['managed_by'])}")
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
