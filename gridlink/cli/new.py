"""`gridlink new`: makes a bundle that runs and whose test passes."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gridlink.cli.output import JSON, print_json
from gridlink.cli.template import bundle_files
from gridlink.errors import GridlinkError, ManifestInvalid
from gridlink.manifest import Name


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to make it.  [default: here]",
)
@JSON
def command(name: str, parent: Path, as_json: bool) -> None:
    """Make a bundle NAME: manifest, configuration, package, a test that passes, README."""
    directory = parent / checked(name)
    if directory.exists():
        raise GridlinkError(f"{directory} is there already: take another name, or another place with -o DIR")
    files = bundle_files(name)
    try:
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
    except OSError as error:
        raise GridlinkError(f"{directory} can't be made: {error.strerror or error}") from error
    if as_json:
        print_json({"directory": str(directory.resolve()), "files": sorted(files)})
        return
    click.echo(f"{directory}: {', '.join(files)}")
    click.echo(f"next: pytest {directory}   and, on a running site: gridlink run {directory}")


def checked(name: str) -> str:
    """The name, if a module can have it and Python can import it. Raises ManifestInvalid."""
    expected = "a module's name is lower-case letters, digits and '_', begins with a letter, and has at most 64"
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise ManifestInvalid(f"{expected}; got {name!r}") from error
    if not importable(name):
        raise ManifestInvalid(f"{name!r} is a name of Python's own, which would hide the package: take another")
    return name


def importable(name: str) -> bool:
    """Whether a package of that name can be imported, and hides nothing."""
    import keyword  # noqa: PLC0415 - for this alone
    import sys  # noqa: PLC0415

    taken = name in sys.stdlib_module_names or name in ("gridlink", "appmanager", "nodemanager", "tests")
    return not taken and not keyword.iskeyword(name)
