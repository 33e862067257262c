"""`gridlink start`, `stop`, `restart` and `kill`: modules run, or don't, until the next start of their node."""

from __future__ import annotations

import click

from appmanager.orders import Word
from gridlink.cli.operate import DRY_RUN, EXPIRES, YES, ask, new_id, who
from gridlink.cli.options import Options
from gridlink.cli.output import JSON
from gridlink.cli.session import run
from gridlink.cli.sites import over_sites

MODULE = click.argument("module")


def _run(
    options: Options, word: Word, module: str, yes: bool, expires_s: float | None, dry_run: bool, as_json: bool
) -> None:
    order = {"id": new_id(), "module": module, "yes": yes, "who": who(), "dry_run": dry_run}
    run(ask(options, word, order, as_json, expires_s))


@click.command()
@MODULE
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def start(options: Options, module: str, expires_s: float | None, dry_run: bool, as_json: bool) -> None:
    """Start a module that was stopped, or that FAILED."""
    _run(options, "start", module, False, expires_s, dry_run, as_json)


@click.command()
@MODULE
@YES
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def stop(options: Options, module: str, yes: bool, expires_s: float | None, dry_run: bool, as_json: bool) -> None:
    """Stop a module: its handlers finish, its state is kept. It is back when it, or its node, is started."""
    _run(options, "stop", module, yes, expires_s, dry_run, as_json)


@click.command()
@MODULE
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def restart(options: Options, module: str, expires_s: float | None, dry_run: bool, as_json: bool) -> None:
    """Stop a module and start it, with its state."""
    _run(options, "restart", module, True, expires_s, dry_run, as_json)


@click.command()
@MODULE
@YES
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def kill(options: Options, module: str, yes: bool, expires_s: float | None, dry_run: bool, as_json: bool) -> None:
    """End a module at once: its process is killed, or its NodeManager drops it."""
    _run(options, "kill", module, yes, expires_s, dry_run, as_json)
