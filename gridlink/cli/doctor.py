"""`gridlink doctor`: looks at this machine, the managed directory and the running node, and says what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from gridlink.cli import checks
from gridlink.cli.checks import Check
from gridlink.cli.options import NodeNotFound, Options, find
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.session import run, session
from gridlink.errors import GridlinkError
from gridlink.lifecycle import State


@click.command()
@JSON
@click.pass_obj
def command(options: Options, as_json: bool) -> None:
    """Check this machine, the managed directory and the running node; say what to do. Exit status 1 on a fail."""
    found = list(_all(options))
    if as_json:
        print_json({"checks": [asdict(one) for one in found]})
    else:
        print_table(("", "check", "found", "to do"), [(c.status, c.name, c.text, c.advice) for c in found])
    if any(one.status == "fail" for one in found):
        sys.exit(1)


def _all(options: Options) -> Iterator[Check]:
    yield from checks.machine()
    node = _node(options)
    yield checks.port(running=node.status == "ok")
    yield from checks.managed(options.managed)
    yield node


def _node(options: Options) -> Check:
    try:
        find(options)
    except NodeNotFound as error:
        return checks.unreachable(error, wanted=False)
    except GridlinkError as error:
        return checks.unreachable(error, wanted=True)
    answers: list[Check] = []

    async def look() -> None:
        async with session(options) as site:
            entries = site.entries()
        broken = [e.instance for e in entries if e.state in (State.FAILED, State.BACKOFF)]
        text = f"site {site.where.site} at {site.where.url}: {len(entries)} modules"
        if broken:
            advice = f"`gridlink show {broken[0]}` and `gridlink logs` say why"
            answers.append(Check("node", "fail", f"{text}; not running: {', '.join(broken)}", advice))
        else:
            answers.append(Check("node", "ok" if entries else "warn", text, "" if entries else "another --site?"))

    try:
        run(look())
    except GridlinkError as error:
        return checks.unreachable(error, wanted=True)
    return answers[0]
