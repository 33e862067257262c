"""`gridlink tap`: the messages on the site as they pass, and who talks to whom."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import click

from gridlink import address
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, on_terminal, print_json, print_table
from gridlink.cli.session import run, session
from gridlink.codec import dumps, loads
from gridlink.errors import PayloadInvalid
from gridlink.message import Message

QUEUED = 10_000


@dataclass(frozen=True, slots=True)
class Wish:
    """Which messages to show; empty parts let everything pass."""

    roles: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def wants(self, message: Message) -> bool:
        """Whether a message is to be shown. Gridlink's own (registry, schemas) never are."""
        kind, _, name = message.address.partition(".")
        if kind == "registry" or name.partition(".")[2].startswith("_"):
            return False
        if (self.roles or self.topics) and name not in (self.roles if kind == "role" else self.topics):
            return False
        if self.types and message.type not in self.types:
            return False
        return not self.sources or message.source in self.sources or message.source.partition("@")[0] in self.sources


def shown(message: Message, time_s: float) -> dict[str, Any]:
    """A message for programs."""
    kind, _, name = message.address.partition(".")
    to = address.readable(message.address) if kind == "instance" else name
    try:
        payload = loads(message.payload) if message.payload else None
    except PayloadInvalid:
        payload = message.payload.decode("utf-8", "replace")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_s)) + f".{int(time_s * 1000) % 1000:03d}Z",
        "kind": "event" if kind == "topic" else "request",
        "from": message.source,
        "to": to,
        "to_kind": kind,
        "type": message.type,
        "id": message.id,
        "payload": payload,
    }


def line(one: dict[str, Any]) -> str:
    """A message for people."""
    arrow = "=>" if one["kind"] == "event" else "->"
    body = "" if one["payload"] is None else " " + dumps(one["payload"]).decode()
    return f"{one['time'][11:-1]} {one['from'] or '?'} {arrow} {one['to_kind']} {one['to']} {one['type']}{body}"


@click.command()
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="Requests to this role; can be given again.")
@click.option("--topic", "topics", multiple=True, metavar="TOPIC", help="Events of this topic; can be given again.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Messages of this type; can be given again.")
@click.option("--from", "sources", multiple=True, metavar="INSTANCE", help="Sent by this instance or module.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many messages.")
@click.option("--summary", is_flag=True, help="At the end, who has talked to whom and how often, instead.")
@JSON
@click.pass_obj
def command(
    options: Options,
    roles: tuple[str, ...],
    topics: tuple[str, ...],
    types: tuple[str, ...],
    sources: tuple[str, ...],
    count: int | None,
    summary: bool,
    as_json: bool,
) -> None:
    """Show the messages on the site as they pass, until --count or Ctrl-C.

    Events (=>) are always seen. Requests (->) between modules of one node are handed over inside of it and do not
    cross NATS: those are not seen; requests to other nodes and machines are. Replies are not shown.
    """
    passed: Counter[tuple[str, str, str]] = Counter()
    try:
        run(_tap(options, Wish(roles, topics, types, sources), count, passed if summary else None, as_json))
    except KeyboardInterrupt:
        if not summary:
            return
    if summary:
        _print_summary(passed, as_json)


async def _tap(options: Options, wish: Wish, count: int | None, passed: Counter[Any] | None, as_json: bool) -> None:
    queue: asyncio.Queue[tuple[float, Message]] = asyncio.Queue(QUEUED)
    missed = 0

    def heard(message: Message) -> None:
        nonlocal missed
        if not wish.wants(message):
            return
        if queue.full():
            missed += 1
            return
        queue.put_nowait((time.time(), message))

    async with session(options) as site:
        await site.bus.overhear(heard)
        if on_terminal() and not as_json:
            click.echo(f"listening at site {site.where.site} of {site.where.url}; Ctrl-C ends it", err=True)
        left = count
        while left is None or left > 0:
            time_s, message = await queue.get()
            one = shown(message, time_s)
            if passed is not None:
                passed[one["from"], f"{one['to_kind']} {one['to']}", one["type"]] += 1
            elif as_json:
                print_json(one, indent=False)
            else:
                click.echo(line(one))
            if missed:
                click.echo(f"gridlink: {missed} messages came too fast to be shown", err=True)
                missed = 0
            left = left and left - 1


def _print_summary(passed: Counter[tuple[str, str, str]], as_json: bool) -> None:
    rows = [(*who, number) for who, number in passed.most_common()]
    if as_json:
        print_json({"messages": [dict(zip(("from", "to", "type", "count"), row, strict=True)) for row in rows]})
    else:
        print_table(("from", "to", "type", "count"), [(*row[:3], str(row[3])) for row in rows])
