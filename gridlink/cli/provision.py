"""`gridlink install`, `update`, `configure`, `uninstall` and `rollback`: what changes a site's software."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gridlink.cli.operate import DRY_RUN, EXPIRES, YES, ask, new_id, who
from gridlink.cli.options import Options
from gridlink.cli.output import JSON
from gridlink.cli.session import run
from gridlink.cli.sites import over_sites
from gridlink.codec import loads
from gridlink.config import read_json
from gridlink.errors import GridlinkError, PayloadInvalid, Refused

FILE = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
SET = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value in its config.json; KEY may have dots."
)


@click.command()
@FILE
@SET
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def install(
    options: Options, file: Path, settings: tuple[str, ...], expires_s: float, dry_run: bool, as_json: bool
) -> None:
    """Install a module from FILE, a bundle that `gridlink pack` has made, and start it.

    FILE is a path on the machine of the AppManager. What can't run there is refused, and leaves nothing behind.
    """
    order = {**_bundle(file), "settings": _settings(settings), "dry_run": dry_run}
    run(ask(options, "install", {**order, **_asked(expires_s)}, as_json, expires_s))


@click.command()
@FILE
@SET
@click.option("--older", is_flag=True, help="Also where a newer version runs.")
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def update(
    options: Options,
    file: Path,
    settings: tuple[str, ...],
    older: bool,
    expires_s: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replace a module's version by the one in FILE, while it runs.

    Its state and what is sent to it meanwhile go on. Where the new version doesn't start, or isn't healthy, the old
    one runs on with its state, and the reason is told.
    """
    order = {**_bundle(file), "settings": _settings(settings), "older": older, "dry_run": dry_run}
    run(ask(options, "update", {**order, **_asked(expires_s)}, as_json, expires_s))


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
    expires_s: float,
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
    run(ask(options, "configure", {**order, **_asked(expires_s)}, as_json, expires_s))


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
    options: Options, module: str, purge: bool, yes: bool, expires_s: float, dry_run: bool, as_json: bool
) -> None:
    """Stop a module and remove it."""
    order = {"module": module, "purge": purge, "yes": yes, "dry_run": dry_run}
    run(ask(options, "uninstall", {**order, **_asked(expires_s)}, as_json, expires_s))


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
    options: Options, module: str, to: str, keep_state: bool, expires_s: float, dry_run: bool, as_json: bool
) -> None:
    """Go back to a former version of a module, and to the state that it had."""
    order = {"module": module, "to": to, "keep_state": keep_state, "dry_run": dry_run}
    run(ask(options, "rollback", {**order, **_asked(expires_s)}, as_json, expires_s))


def _asked(expires_s: float) -> dict[str, Any]:
    return {"id": new_id(), "who": who(), "expires_s": expires_s}


def _bundle(file: Path) -> dict[str, Any]:
    """The module, the digest and the place of a packed bundle. Raises BundleInvalid, Refused."""
    from appmanager.packed.about import about  # noqa: PLC0415 - `gridlink configure --help` needs none of it

    try:
        name, digest = about(file)
    except OSError as error:
        raise Refused(f"{file} can't be read: {error.strerror}: give a file that `gridlink pack` has made") from error
    return {"module": name, "digest": digest, "source": str(file.resolve())}


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
