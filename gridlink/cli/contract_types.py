"""`gridlink types`: the dataclasses of somebody else's contract, from the schemas in a running site's registry."""

from __future__ import annotations

from pathlib import Path

import click

from gridlink.cli.codegen import Wanted, generate
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json
from gridlink.cli.pytext import class_name
from gridlink.cli.session import Session, run, session
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.registry import Entry


@click.command()
@click.argument("kind", type=click.Choice(["role", "topic"]))
@click.argument("name")
@click.option("-o", "output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there.")
@JSON
@click.pass_obj
def command(options: Options, kind: str, name: str, output: Path | None, as_json: bool) -> None:
    """Write the dataclasses of a role's requests and replies, or of a topic's events, as Python.

    --json gives the JSON Schemas that they are made from.
    """
    wanted: list[Wanted] = []

    async def look() -> None:
        async with session(options) as site:
            wanted.extend(await (_of_role if kind == "role" else _of_topic)(site, name))

    run(look())
    if as_json:
        print_json({"types": [{"name": one.alias, "for": one.note, "schema": one.schema} for one in wanted]})
        return
    text = generate(f"The messages of {kind} {name}, as `gridlink types {kind} {name}` wrote them.", wanted).text
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise GridlinkError(f"{output} can't be written: {error.strerror}: name another file with -o") from error
    click.echo(f"{output}: {', '.join(one.note for one in wanted)}", err=True)


async def _of_role(site: Session, role: str) -> list[Wanted]:
    entries = [entry for entry in site.entries() if role in entry.roles and entry.requests]
    if not entries:
        roles = sorted({one for entry in site.entries() for one in entry.roles})
        raise NoSuchRole(
            f"no module at site {site.where.site} has the role {role!r}: there are {', '.join(roles) or 'none'}"
        )
    wanted: list[Wanted] = []
    entry = entries[0]
    for name, digests in sorted(entry.requests.items()):
        for part in ("payload", "reply"):
            schema = await site.registry.schema(digests[part], entry)
            none = schema == {"type": "null"}
            wanted.append(Wanted(f"{class_name(name)}{part.title()}", None if none else schema, f"{name} {part}"))
    return wanted


async def _of_topic(site: Session, topic: str) -> list[Wanted]:
    events: dict[str, tuple[str, Entry]] = {}
    for entry in site.entries():  # what is published is the contract; where nobody publishes, what is expected
        for name, digest in entry.publishes.get(topic, {}).items():
            events[name] = (digest, entry)
    for entry in site.entries():
        for name, digest in entry.subscribes.get(topic, {}).items():
            events.setdefault(name, (digest, entry))
    if not events:
        topics = sorted({one for e in site.entries() for one in (*e.publishes, *e.subscribes)})
        there = ", ".join(topics) or "none"
        raise NoSuchRole(f"no module at site {site.where.site} knows the topic {topic!r}: there are {there}")
    wanted = []
    for name, (digest, entry) in sorted(events.items()):
        schema = await site.registry.schema(digest, entry)
        wanted.append(Wanted(class_name(name), None if schema == {"type": "null"} else schema, name))
    return wanted
