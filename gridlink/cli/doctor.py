"""`gridlink doctor`: looks at this machine, the managed directory and the running node, and says what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from gridlink.address import NODE
from gridlink.cli import checks
from gridlink.cli.checks import Check
from gridlink.cli.options import NodeNotFound, Options, find
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.session import Session, run, session
from gridlink.errors import GridlinkError
from gridlink.lifecycle import State
from gridlink.node.namesake import WHO, Who


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
    node, *more = _node(options)
    yield checks.port(running=node.status == "ok" or _runs_here(options))
    yield from checks.managed(options.managed, running=_is_found(options))
    yield node
    yield from more


def _is_found(options: Options) -> bool:
    """Whether a node runs where the options say, however well."""
    try:
        find(options)
    except GridlinkError:
        return False
    return True


def _runs_here(options: Options) -> bool:
    """Whether the processes of a node run whose managed directory is meant, whatever has become of its modules."""
    try:
        return find(options).managed is not None
    except GridlinkError:
        return False


def _node(options: Options) -> list[Check]:
    """How the node fares, then which of its modules run in another mode than was asked for."""
    try:
        find(options)
    except NodeNotFound as error:
        return [checks.unreachable(error, wanted=False)]
    except GridlinkError as error:
        return [checks.unreachable(error, wanted=True)]
    answers: list[Check] = []

    async def look() -> None:
        async with session(options) as site:
            entries = site.entries()
            nodes = {entry.node for entry in entries if entry.pid}
            namesakes = [said for node in sorted(nodes) if (said := await _namesake(site, node))]
        broken = [e.instance for e in entries if e.state in (State.FAILED, State.BACKOFF)]
        if namesakes:
            what, _, advice = namesakes[0].partition(". ")
            answers.append(Check("node", "fail", what, advice))
            return
        text = f"site {site.where.site} at {site.where.url}: {len(entries)} modules"
        if broken:
            advice = f"`gridlink show {broken[0]}` and `gridlink logs` say why"
            answers.append(Check("node", "fail", f"{text}; not running: {', '.join(broken)}", advice))
        else:
            answers.append(Check("node", "ok" if entries else "warn", text, "" if entries else "another --site?"))
        answers.extend(checks.modes(entries))

    try:
        run(look())
    except GridlinkError as error:
        return [checks.unreachable(error, wanted=True)]
    return answers


async def _namesake(site: Session, node: str) -> str:
    """What a node says of another one of its name; empty where there is none, or it doesn't answer."""
    try:
        return (await site.plain.request(f"{NODE}@{node}", WHO, reply=Who, timeout_s=2.0)).refuses
    except GridlinkError:
        return ""
