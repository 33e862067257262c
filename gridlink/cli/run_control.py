"""`gridlink start`, `stop`, `restart` and `kill`: modules run, or don't, until the next start of their node."""

from __future__ import annotations

import click

from appmanager.orders import Word
from gridlink.cli.operate import YES, ask, new_id, who
from gridlink.cli.options import Options
from gridlink.cli.output import JSON
from gridlink.cli.session import run

MODULE = click.argument("module")


def _run(options: Options, word: Word, module: str, yes: bool, as_json: bool) -> None:
    order = {"id": new_id(), "module": module, "yes": yes, "who": who()}
    run(ask(options, word, order, as_json))


@click.command()
@MODULE
@JSON
@click.pass_obj
def start(options: Options, module: str, as_json: bool) -> None:
    """Start a module that was stopped, or that FAILED."""
    _run(options, "start", module, False, as_json)


@click.command()
@MODULE
@YES
@JSON
@click.pass_obj
def stop(options: Options, module: str, yes: bool, as_json: bool) -> None:
    """Stop a module: its handlers finish, its state is kept. It is back when it, or its node, is started."""
    _run(options, "stop", module, yes, as_json)


@click.command()
@MODULE
@JSON
@click.pass_obj
def restart(options: Options, module: str, as_json: bool) -> None:
    """Stop a module and start it, with its state."""
    _run(options, "restart", module, True, as_json)


@click.command()
@MODULE
@YES
@JSON
@click.pass_obj
def kill(options: Options, module: str, yes: bool, as_json: bool) -> None:
    """End a module at once: its process is killed, or its NodeManager drops it."""
    _run(options, "kill", module, yes, as_json)
