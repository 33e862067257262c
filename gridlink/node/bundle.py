"""A bundle as it lies on disk: `module.json`, `config.json`, a package. Reading one runs none of its code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from msgspec import Struct

from gridlink.config import read_json
from gridlink.errors import (
    ANYTHING,
    ConfigInvalid,
    GridlinkError,
    ManifestInvalid,
    ModuleInvalid,
    StartFailed,
    raised_at,
)
from gridlink.manifest import Manifest, parse
from gridlink.module.instance import is_module
from gridlink.module.module import Loaded

MANIFEST, CONFIG, LIB = "module.json", "config.json", "lib"


class Bundle(Struct, frozen=True):
    """A bundle's directory and its manifest."""

    directory: Path
    manifest: Manifest


def read_bundle(directory: Path) -> Bundle:
    """The bundle in a directory. Raises ManifestInvalid with the file, what was expected and what came."""
    file = directory / MANIFEST
    try:
        document = read_json(file)
    except FileNotFoundError as error:
        raise ManifestInvalid(f"{file}: no such file: a bundle needs one (`gridlink new` makes it)") from error
    except (ConfigInvalid, OSError) as error:
        raise ManifestInvalid(str(error)) from error
    return Bundle(directory, parse(document, str(file)))


def read_config(directory: Path) -> Any:
    """The document in the bundle's `config.json`; an empty one where there is no file. Raises ConfigInvalid."""
    try:
        return read_json(directory / CONFIG)
    except FileNotFoundError:
        return {}


def find_bundles(managed: Path) -> list[Path]:
    """The directories in a managed directory that are meant as bundles, by name; hidden ones are not."""
    return sorted(path for path in managed.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def durable_topics(managed: Path) -> list[str]:
    """The topics that bundles of a managed directory declare durable, those of NodeManagers in it included."""
    found: set[str] = set()
    for directory in find_bundles(managed) if managed.is_dir() else ():
        try:
            found.update(read_bundle(directory).manifest.durable)
        except GridlinkError:
            continue  # it doesn't run; the AppManager says why
        found.update(durable_topics(directory / "managed"))
    return sorted(found)


def load_installed(bundle: Bundle) -> Loaded:
    """The class of a bundle whose package is one of this Python's own. Raises ModuleInvalid, StartFailed."""
    return Loaded(load_entry(bundle.manifest.entry))


def load_alone(bundle: Bundle) -> Loaded:
    """The class of a bundle in an interpreter that is its own: its `lib/` comes first, then its directory.

    Raises ModuleInvalid for an entry that isn't there or isn't a Module, StartFailed for a package that raises.
    """
    sys.path[:0] = [str(path) for path in (bundle.directory / LIB, bundle.directory) if path.is_dir()]
    importlib.invalidate_caches()
    try:
        return Loaded(load_entry(bundle.manifest.entry))
    except StartFailed as error:
        from gridlink.node.foreign import hint  # noqa: PLC0415 - where an import failed

        if more := hint(bundle.directory):
            raise ModuleInvalid(f"{more}{error}") from error
        raise


def load_entry(entry: str) -> Any:
    """The class that `package:Class` names, by plain import. Raises ModuleInvalid, StartFailed."""
    package, _, name = entry.partition(":")
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is not None and package.startswith(error.name):
            raise ModuleInvalid(
                f"entry {entry!r}: no package {package!r} in the bundle or this Python: correct the entry"
            ) from error
        raise StartFailed(f"import of {package}: {error}: put it into the bundle's lib/") from error
    except GridlinkError:
        raise
    except ANYTHING as error:  # a package's top level is the author's code: it may raise anything
        raise StartFailed(f"import of {package}: {type(error).__name__}: {error}{raised_at(error)}") from error
    return checked(getattr(module, name, None), entry)


def checked(target: Any, entry: str) -> Any:
    """`target`, if it is a Module's class. Raises ModuleInvalid."""
    if target is None:
        raise ModuleInvalid(f"entry {entry!r}: its package has no {entry.partition(':')[2]!r}")
    if not is_module(target):
        raise ModuleInvalid(f"entry {entry!r}: expected a class derived from gridlink.Module, got {target!r}")
    return target
