"""`gridlink init`: makes a managed directory, empty or with the bundles of the example substation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

import gridlink
from gridlink.cli.init_trust import TrustOptions, trust_options
from gridlink.cli.output import JSON, print_json
from gridlink.errors import ManagedDirectoryInvalid
from gridlink.node.bundle import MANIFEST

_PACKAGE = Path(gridlink.__file__).resolve().parent


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--example", type=click.Choice(["issn"]), help="Put the bundles of the example substation into it.")
@trust_options
@JSON
def command(directory: Path, example: str | None, as_json: bool, **trust: Any) -> None:
    """Make a managed directory: a node runs the bundles in it. Or what a cluster's or uplink's servers trust.

    --example issn: a data generator, storage, a voltage guard, a problem handler, an OLTC controller, a dashboard.
    """
    wanted = TrustOptions(**trust)
    if wanted.wanted():
        show_made(wanted.make(directory), as_json)
        return
    names = [bundle.name for bundle in example_bundles()] if example else []
    make(directory, example_bundles() if example else [])
    if as_json:
        print_json({"directory": str(directory.resolve()), "bundles": names})
        return
    click.echo(f"{directory}: {', '.join(names) or 'empty; put bundles into it (`gridlink new NAME` makes one)'}")
    click.echo(f"next: gridlink-node --manage {directory}")


def show_made(made: list[Path], as_json: bool) -> None:
    """Says which directories were made and what to do with them."""
    if as_json:
        print_json({"directories": [str(path.resolve()) for path in made]})
        return
    for path in made:
        click.echo(str(path))
    click.echo("next: copy each to its machine (it holds keys), gridlink-node --manage DIR --trust COPY --site SITE")


def make(directory: Path, bundles: list[Path]) -> None:
    """Makes the directory and copies the bundles. Raises ManagedDirectoryInvalid for one that isn't empty."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ManagedDirectoryInvalid(
            f"{directory}: expected a directory that is empty or isn't there yet: name another, or empty this one"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for bundle in bundles:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
            shutil.copytree(bundle, directory / bundle.name, ignore=ignored)
    except OSError as error:
        raise ManagedDirectoryInvalid(f"{directory} can't be made: {error.strerror or error}") from error


def example_bundles() -> list[Path]:
    """The example's bundles: in the wheel's data, else in the repository of an editable install."""
    for place in (_PACKAGE / "data" / "modules", _PACKAGE.parent / "modules"):
        found = sorted(path.parent for path in place.glob(f"*/{MANIFEST}"))
        if found:
            return found
    raise ManagedDirectoryInvalid(f"the example isn't installed with {_PACKAGE}: install gridlink's wheel again")
