"""`gridlink move`: a running module goes on in another mode, or in another NodeManager; its AppManager does it."""

from __future__ import annotations

from typing import Any

import click

from gridlink.cli.call import explained, ready
from gridlink.cli.operate import new_id, who
from gridlink.cli.operator_key import key_file, signed
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json
from gridlink.cli.session import Session, run, session
from gridlink.errors import GridlinkError, NoSuchInstance, Refused
from gridlink.registry import Entry

WITHIN_S = 60.0


@click.command()
@click.argument("name", metavar="MODULE|INSTANCE")
@click.option("--mode", type=click.Choice(["node", "fork", "process"]), help="Where it is to run.")
@click.option("--into", default="", metavar="NODEMANAGER", help="Which NodeManager hosts it; implies --mode node.")
@JSON
@click.pass_obj
def command(options: Options, name: str, mode: str | None, into: str, as_json: bool) -> None:
    """Run a module in another mode from now on, also after a restart of its node.

    Its state moves with it, and what is sent to it meanwhile is handled where it goes on. Where it can't run there, it
    stays as it was, and the reason is told.
    """
    if mode is None and not into:
        raise click.UsageError("expected --mode node|fork|process, or --into NODEMANAGER")
    if into and mode not in (None, "node"):
        raise click.UsageError(f"--into names a NodeManager, so it goes with --mode node, not {mode}")
    run(_move(options, name, mode or "node", into, as_json))


async def _move(options: Options, name: str, mode: str, into: str, as_json: bool) -> None:
    async with session(options) as site:
        module, to = managed(site, name)
        order = {"name": module, "mode": mode, "into": into, "id": new_id(), "who": who(), "expires_s": WITHIN_S}
        sender, appmanager = await ready(site), to.instance
        try:
            order = signed("move", order, site.where.site, to, key_file(options))
            moved: dict[str, Any] = await sender.request(appmanager, "move", order, timeout_s=WITHIN_S)
        except Refused:
            raise  # a sentence of its own
        except GridlinkError as error:
            raise explained(error, appmanager, "move") from error
    if as_json:
        print_json(moved)
    else:
        click.echo(f"{moved['name']} is {moved['state']} in mode {moved['mode']}")
    if moved["mode"] != mode or moved["state"] != "RUNNING":
        raise Refused(f"{module} is {moved['state']} in mode {moved['mode']}, not {mode}: {moved['reason']}")


def managed(site: Session, name: str) -> tuple[str, Entry]:
    """The module's name, and the AppManager that runs it. Raises NoSuchInstance, Refused."""
    entries = site.named(name)
    found = {one.instance: one for entry in entries for one in _managers(site, entry)}
    if not found:
        raise NoSuchInstance(f"{name} is run by no AppManager that can move it: change it where it was started")
    if len(found) > 1:
        raise Refused(f"{name} is run by {', '.join(sorted(found))}: say which, by `gridlink --machine NAME move …`")
    return entries[0].name, next(iter(found.values()))


def _managers(site: Session, entry: Entry) -> list[Entry]:
    return [one for name in entry.managed_by for one in site.registry.find(instance=name, role="appmanager")]
