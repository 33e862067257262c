"""The file that `gridlink apply` reads: which modules a site has, and how. TOML or JSON.

The dataclasses are the schema: `schemas/apply.json` is made from them, and unknown fields are refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gridlink.codec import encode, loads
from gridlink.config import read_json, typed
from gridlink.contract import schema_of
from gridlink.document import Document, schema_document
from gridlink.errors import ConfigInvalid, PayloadInvalid
from gridlink.manifest import Name, Version


@dataclass(frozen=True, slots=True)
class DeclaredModule:
    """A module as it is to be. What isn't said stays as it is at the site.

    `bundle`: its packed bundle, a path seen from the file; with a `version` alone it is `NAME-VERSION.glb` in
    `bundles`. `settings`: values in its config.json, all others stay; `config`: the whole of it. `into`: a NodeManager.
    `absent`: it is to be uninstalled.
    """

    version: Version | None = None
    bundle: str = ""
    mode: Literal["node", "fork", "process"] | None = None
    into: Name | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """A site as it is to be. `bundles`: the directory of packed bundles, seen from the file; that of the file."""

    modules: dict[Name, DeclaredModule]
    bundles: str = "."


def read_declared(file: Path) -> Declared:
    """The declared state in a file. Raises ConfigInvalid that names the file, what was expected and what came."""
    try:
        document = read_json(file) if file.suffix == ".json" else tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigInvalid(f"{file} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{file}: expected TOML (or JSON, in a file named .json): {error}") from error
    try:
        document = loads(encode(document))
    except (PayloadInvalid, TypeError) as error:
        raise ConfigInvalid(f"{file}: expected values that JSON has (no nan, no infinity): {error}") from error
    declared: Declared = typed(document, Declared, str(file))
    for name, module in declared.modules.items():
        _check(module, f"{file}: modules.{name}")
    return declared


def _check(module: DeclaredModule, where: str) -> None:
    if module.absent and module != DeclaredModule(absent=True):
        raise ConfigInvalid(f"{where}: it is to be absent, so nothing else can be said of it: take one of the two out")
    if module.config is not None and module.settings:
        raise ConfigInvalid(f"{where}: expected settings (the rest stays) or config (all of it), got both")
    if module.into is not None and module.mode not in (None, "node"):
        raise ConfigInvalid(f"{where}: into names a NodeManager, so it goes with mode node, not {module.mode}")


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names, as `gridlink configure` has them: tables in tables are names with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def schema_of_file() -> Document:
    """The published schema. What two fields may not say together is seen when the file is read."""
    whole = schema_of(Declared)
    strict = {name: {**body, "additionalProperties": False} for name, body in whole["$defs"].items()}
    return schema_document("apply", "the file of gridlink apply", {"$ref": whole["$ref"], "$defs": strict})
