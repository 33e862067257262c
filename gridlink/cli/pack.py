"""`gridlink pack`: makes one file of a bundle and the libraries that it needs, for the board that it is to run on."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from appmanager.packed.candidate import read_candidate
from appmanager.packed.checks import FILES, Host, Site, this_host
from appmanager.packed.checks.check import verify
from appmanager.packed.contents import Header
from appmanager.packed.elf import HEADER_BYTES, is_native, platform_of
from appmanager.packed.unpack import unpack
from appmanager.packed.writer import Source, pack
from appmanager.store.disk import RealDisk
from gridlink.cli.libraries import REQUIREMENTS, Wanted, resolve
from gridlink.cli.output import JSON, print_json
from gridlink.errors import GridlinkError, ModuleInvalid
from gridlink.manifest import Manifest
from gridlink.node.bundle import LIB, read_bundle

SUFFIX = ".glb"
_LEFT_OUT = frozenset({LIB, "tests", "dist", "build"})  # at the top; lib/ is packed by itself


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option(
    "-o", "out", type=click.Path(path_type=Path), metavar="FILE", help="Where to.  [default: NAME-VERSION.glb]"
)
@click.option("--platform", default="", metavar="TAG", help="The board: linux-aarch64, or a tag of wheels.")
@click.option("--python", default="", metavar="X.Y", help="The board's Python.  [default: this one]")
@click.option(
    "--wheels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Take libraries from this directory, and from no index.",
)
@JSON
def command(directory: Path, out: Path | None, platform: str, python: str, wheels: Path | None, as_json: bool) -> None:
    """Make one file of the bundle in DIR, with the libraries in its requirements.txt.

    The same files give the same bytes. Hidden files, caches and tests are left out; so is what the host provides.
    """
    manifest = read_bundle(directory).manifest
    out = out or Path(f"{manifest.name}-{manifest.version}{SUFFIX}")
    made = make(directory, manifest, out, Wanted(platform, python, wheels))
    if as_json:
        print_json(made)
        return
    libraries = ", ".join(f"{name} {version}" for name, version in made["libraries"].items())
    click.echo(f"{out}: {manifest.name} {manifest.version}, {made['files']} files, {made['size_bytes']} bytes packed")
    click.echo(f"libraries: {libraries or 'none'}")
    click.echo(f"digest: {made['digest']}")


def make(directory: Path, manifest: Manifest, out: Path, wanted: Wanted) -> dict[str, Any]:
    """Packs a bundle and checks it; returns what `--json` prints. Raises GridlinkError, and leaves no file then."""
    with tempfile.TemporaryDirectory(prefix="gridlink-pack-") as scratch:
        lib, libraries = directory / LIB, dict[str, str]()
        if (directory / REQUIREMENTS).is_file():
            if lib.is_dir():
                raise ModuleInvalid(f"{directory} has a {REQUIREMENTS} and a {LIB}/, which is made from it: remove one")
            lib = Path(scratch, LIB)
            libraries = resolve(directory / REQUIREMENTS, manifest, lib, wanted)
        sources = [*_sources(directory), *_library_sources(lib)]
        header = _header(manifest, sources, libraries, wanted)
        temporary = out.with_name(f".{out.name}.new")
        try:
            with temporary.open("w+b") as file:
                digest = pack(file, header, sources)
            _check(temporary, Path(scratch, "checked"), wanted)
            size_bytes = temporary.stat().st_size
            temporary.replace(out)
        except OSError as error:
            raise GridlinkError(f"{out} can't be written: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
    return {
        "file": str(out.resolve()),
        "name": manifest.name,
        "version": manifest.version,
        "digest": digest,
        "size_bytes": size_bytes,
        "files": len(sources),
        "libraries": libraries,
        "python": header.python,
        "platform": header.platform,
    }


def _check(file: Path, to: Path, wanted: Wanted) -> None:
    """Unpacks what was packed as a board would, and asks what can be told without the site."""
    unpack(RealDisk(), file, to)
    candidate = read_candidate(to)
    here = this_host()
    foreign = bool(wanted.platform or wanted.python)
    host = Host(
        f"{wanted.python}.99" if wanted.python else here.python,  # its last digit is not known: the newest
        _platform(wanted.platform) or here.platform,
        None if foreign else here.packages,
    )
    verify(FILES, candidate, host, Site())


def _platform(wanted: str) -> str:
    """`linux-aarch64`, of a tag of wheels too."""
    if not wanted or wanted.startswith("linux-"):
        return wanted
    for machine in ("x86_64", "aarch64", "armv7l", "i686", "riscv64"):
        if wanted.endswith(machine):
            return f"linux-{machine}"
    raise ModuleInvalid(f"--platform: expected linux-aarch64 or a tag such as manylinux2014_aarch64, got {wanted!r}")


def _header(manifest: Manifest, sources: list[Source], libraries: dict[str, str], wanted: Wanted) -> Header:
    platform = ""
    for source in sources:
        if is_native(source.path):
            with source.file.open("rb") as file:
                platform = platform_of(file.read(HEADER_BYTES))
    brings = platform or libraries or any(source.path.startswith(f"{LIB}/") for source in sources)
    python = (wanted.python or ".".join(this_host().python.split(".")[:2])) if brings else ""
    return Header(1, manifest.name, manifest.version, python, platform, libraries)


def _sources(directory: Path) -> Iterator[Source]:
    """The files of the bundle itself. Raises ModuleInvalid for one that is no plain file."""
    for folder, folders, files in os.walk(directory):
        below = Path(folder).relative_to(directory)
        top = below == Path()
        for name in [name for name in folders if (Path(folder) / name).is_symlink()]:
            raise ModuleInvalid(f"{Path(folder) / name} is a symbolic link: a bundle holds files alone")
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name != "__pycache__" and not (top and name in _LEFT_OUT)
        )
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith((".pyc", SUFFIX)):
                yield _source((below / name).as_posix(), Path(folder, name))


def _library_sources(lib: Path) -> Iterator[Source]:
    if not lib.is_dir():
        return
    for path in sorted(lib.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield _source(f"{LIB}/{path.relative_to(lib).as_posix()}", path)


def _source(name: str, path: Path) -> Source:
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise ModuleInvalid(f"{path} is no plain file: a bundle holds files alone")
    return Source(name, path, program=bool(mode & stat.S_IXUSR))
