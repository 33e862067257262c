"""`gridlink install`, `update`, `configure`, `uninstall` and `rollback`: what changes a site's software."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gridlink.cli.operate import DRY_RUN, EXPIRES, YES, ask, new_id, who
from gridlink.cli.options import Options
from gridlink.cli.output import JSON
from gridlink.cli.session import Session, run
from gridlink.cli.sites import over_sites
from gridlink.codec import loads
from gridlink.config import read_json
from gridlink.errors import GridlinkError, PayloadInvalid, Refused

if TYPE_CHECKING:
    from appmanager.orders import Word
    from gridlink.cli.sending import Via
    from gridlink.cli.steps import Steps
    from gridlink.registry import Entry

GIVEN = click.argument("given", metavar="FILE|NAME")
SET = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value in its config.json; KEY may have dots."
)
TO = click.option("--to", default="", metavar="VERSION", help="Of those in the store, for NAME; the highest.")
VIA = click.option(
    "--via",
    type=click.Choice(["auto", "path", "store"]),
    default="auto",
    show_default=True,
    help="How FILE gets there; auto: by its path on this machine, through a store to another one.",
)
RATE = click.option(
    "--rate", type=click.FloatRange(min=0), default=0.0, metavar="BYTES", help="A second at most, into the store."
)
F = TypeVar("F", bound=Callable[..., Any])


def _of_bundle(command: F) -> F:
    """What install and update have in common."""
    for option in reversed((GIVEN, SET, VIA, TO, RATE, EXPIRES, DRY_RUN, JSON)):
        command = option(command)
    return command


@click.command()
@_of_bundle
@click.option("--mode", type=click.Choice(["node", "fork", "process"]), help="Where it runs, in place of its own word.")
@click.option("--into", default="", metavar="NODEMANAGER", help="Which NodeManager hosts it; implies --mode node.")
@click.pass_obj
@over_sites
def install(options: Options, /, mode: str | None, into: str, **given: Any) -> None:
    """Install a module from FILE, a bundle that `gridlink pack` has made, and start it.

    NAME: of a bundle that lies in a store of the site already. What can't run there is refused, and leaves nothing
    behind. --mode and --into hold after a restart too, as those of `gridlink move`.
    """
    _change(options, "install", mode=mode or ("node" if into else ""), into=into, **given)


@click.command()
@_of_bundle
@click.option("--older", is_flag=True, help="Also where a newer version runs.")
@click.pass_obj
@over_sites
def update(options: Options, /, **given: Any) -> None:
    """Replace a module's version by the one in FILE, while it runs; NAME: of a bundle that lies in a store already.

    Its state and what is sent to it meanwhile go on. Where the new version doesn't start, or isn't healthy, the old
    one runs on with its state, and the reason is told.
    """
    _change(options, "update", **given)


def _change(
    options: Options,
    word: Word,
    given: str,
    settings: tuple[str, ...],
    via: Via,
    to: str,
    rate: float,
    expires_s: float | None,
    dry_run: bool,
    as_json: bool,
    **more: Any,
) -> None:
    from gridlink.cli.sending import offered  # noqa: PLC0415 - `gridlink configure --help` needs none of it

    offer = offered(given, to, via, rate)
    order = {"module": offer.name, "settings": _settings(settings), "dry_run": dry_run, **more, **_asked()}

    async def bring(site: Session, to: Entry | None, steps: Steps) -> dict[str, Any]:
        return await offer.bring(site, to, steps, dry_run)

    run(ask(options, word, order, as_json, expires_s, bring))


@click.command()
@click.argument("module")
@click.argument("settings", metavar="[KEY=VALUE]…", nargs=-1)
@click.option("--file", type=click.Path(path_type=Path), help="A whole config.json in place of its own.")
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def configure(
    options: Options,
    module: str,
    settings: tuple[str, ...],
    file: Path | None,
    expires_s: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Have a running module take other values; its config.json then says them too.

    VALUE is JSON, or a text. What the module refuses leaves everything as it was.
    """
    if file is None and not settings:
        raise click.UsageError("expected KEY=VALUE, or --file FILE")
    order: dict[str, Any] = {"module": module, "settings": _settings(settings), "dry_run": dry_run}
    if file is not None:
        order["config"] = _read(file)
    run(ask(options, "configure", {**order, **_asked()}, as_json, expires_s))


@click.command()
@click.argument("module")
@click.option("--purge", is_flag=True, help="Its own files too.")
@YES
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def uninstall(
    options: Options, module: str, purge: bool, yes: bool, expires_s: float | None, dry_run: bool, as_json: bool
) -> None:
    """Stop a module and remove it."""
    order = {"module": module, "purge": purge, "yes": yes, "dry_run": dry_run}
    run(ask(options, "uninstall", {**order, **_asked()}, as_json, expires_s))


@click.command()
@click.argument("module")
@click.option("--to", default="", metavar="VERSION", help="One of those that are kept; the last one.")
@click.option("--keep-state", is_flag=True, help="Go on with the present state, not the kept one.")
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def rollback(
    options: Options, module: str, to: str, keep_state: bool, expires_s: float | None, dry_run: bool, as_json: bool
) -> None:
    """Go back to a former version of a module, and to the state that it had."""
    order = {"module": module, "to": to, "keep_state": keep_state, "dry_run": dry_run}
    run(ask(options, "rollback", {**order, **_asked()}, as_json, expires_s))


def _asked() -> dict[str, Any]:
    return {"id": new_id(), "who": who()}


def _settings(given: tuple[str, ...]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise click.UsageError(f"expected KEY=VALUE, got {one!r}")
        try:
            found[key] = loads(value)
        except PayloadInvalid:
            found[key] = value
    return found or None


def _read(file: Path) -> Any:
    try:
        document = read_json(file)
    except OSError as error:
        raise GridlinkError(f"{file} can't be read: {error.strerror}") from error
    if not isinstance(document, dict):
        raise Refused(f"{file}: expected a JSON object, got {type(document).__name__}")
    return document
