"""`gridlink tap`: the messages on the site as they pass, and who talks to whom."""

from __future__ import annotations

import asyncio
import contextlib

import click

from gridlink.address import instance, token
from gridlink.bus.mirror import Wish
from gridlink.cli.listening import Passed, listening
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, on_terminal, print_json, print_table
from gridlink.cli.session import run, session
from gridlink.cli.tap_summary import COLUMNS, Summary
from gridlink.cli.tap_text import line, shown
from gridlink.errors import AddressInvalid
from gridlink.registry import Entry

QUEUED = 10_000


def _named(_: click.Context, option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if each can be one: another would be waited for in vain."""
    for name in names:
        try:
            if option.name == "sources" and "@" in name:
                instance(name)
            else:
                token(name, "name")
        except AddressInvalid as error:
            raise click.BadParameter(str(error)) from error
    return names


@click.command()
@click.option(
    "--role", "roles", multiple=True, metavar="ROLE", callback=_named, help="Requests to this role; can be given again."
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="TOPIC",
    callback=_named,
    help="Events of this topic; can be given again.",
)
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", callback=_named, help="Messages of this type; can be given again."
)
@click.option(
    "--from", "sources", multiple=True, metavar="INSTANCE", callback=_named, help="Sent by this instance or module."
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many messages.")
@click.option("--for", "for_s", type=click.FloatRange(min=0.1), metavar="SECONDS", help="End after so long.")
@click.option("--summary", is_flag=True, help="At the end, who has talked to whom, how often and how fast, instead.")
@click.option("--mermaid", is_flag=True, help="The summary as a Mermaid diagram.")
@JSON
@click.pass_obj
def command(
    options: Options,
    roles: tuple[str, ...],
    topics: tuple[str, ...],
    types: tuple[str, ...],
    sources: tuple[str, ...],
    count: int | None,
    for_s: float | None,
    summary: bool,
    mermaid: bool,
    as_json: bool,
) -> None:
    """Show the messages on the site as they pass, until --count, --for or Ctrl-C.

    Events (=>) are heard as they cross NATS. Requests (->), replies (<-) and errors (<!) are shown by the nodes that
    serve them, while a tap asks for it: also those between modules of one node, which nobody else ever sees. Sealed
    payloads stay sealed. An INSTANCE is name@node, or a module's name for all of its instances.
    """
    wish = Wish(roles=roles, topics=topics, types=types, sources=sources)
    tap = Tap(as_json, Summary() if summary or mermaid else None)
    with contextlib.suppress(KeyboardInterrupt):
        run(tap.run(options, wish, count, for_s))
    if tap.summary is not None:
        _print_summary(tap.summary, tap.entries, as_json, mermaid)


class Tap:
    """One run of the command. `summary`: counts the messages, instead of showing them."""

    def __init__(self, as_json: bool, summary: Summary | None) -> None:
        self.summary = summary
        self.entries: list[Entry] = []  # of the site, as far as the registry tells
        self._as_json = as_json
        self._queue: asyncio.Queue[Passed] = asyncio.Queue(QUEUED)
        self._left_out = 0

    async def run(self, options: Options, wish: Wish, count: int | None, for_s: float | None) -> None:
        """Until `count` messages or `for_s` seconds have passed. Raises AccessDenied, and what `session` raises."""
        async with session(options) as site:
            self.entries = site.entries()
            async with listening(site.bus, wish, self._heard, self._leave_out):
                if on_terminal() and not self._as_json:
                    where = f"site {site.where.site} of {site.where.url}"
                    click.echo(f"listening at {where}; Ctrl-C ends it", err=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(for_s):
                        await self._take(count)
            self.entries = site.entries()

    def _heard(self, passed: Passed) -> None:
        if self._queue.full():
            self._left_out += 1
        else:
            self._queue.put_nowait(passed)

    def _leave_out(self, number: int) -> None:
        self._left_out += number

    async def _take(self, count: int | None) -> None:
        while count is None or count > 0:
            self._take_one(await self._queue.get())
            count = count and count - 1

    def _take_one(self, passed: Passed) -> None:
        if self.summary is not None:
            self.summary.add(passed)
            self.summary.left_out += self._left_out
        elif self._as_json:
            print_json(shown(passed), indent=False)
        else:
            click.echo(line(shown(passed)))
        if self._left_out:
            click.echo(f"gridlink: {self._left_out} messages came too fast to be shown", err=True)
            self._left_out = 0


def _print_summary(summary: Summary, entries: list[Entry], as_json: bool, mermaid: bool) -> None:
    if mermaid:
        click.echo(summary.mermaid(entries))
    elif as_json:
        print_json(summary.document(entries))
    else:
        print_table(COLUMNS, summary.table())
