"""A module's `config.json` as commands change it: single settings by their dotted names, the order of keys kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from appmanager.store.disk import Disk
from appmanager.store.tree import read_whole
from gridlink.errors import ConfigInvalid


def read_config(disk: Disk, path: Path) -> dict[str, Any]:
    """The document in a file; an empty one where there is none. Raises ConfigInvalid, OSError."""
    if not disk.kind(path):
        return {}
    try:
        document = orjson.loads(read_whole(disk, path))
    except orjson.JSONDecodeError as error:
        raise ConfigInvalid(f"{path}: expected JSON: {error}: correct it, or give all of it with --file") from error
    if not isinstance(document, dict):
        raise ConfigInvalid(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document


def changed(document: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the settings (`{"limits.upper_pu": 1.08}`) put in. Raises ConfigInvalid."""
    found = dict(document)
    for name, value in settings.items():
        first, _, rest = name.partition(".")
        if not rest:
            found[first] = value
            continue
        inside = found.get(first, {})
        if not isinstance(inside, Mapping):
            raise ConfigInvalid(f"{name}: {first} is {inside!r}, which holds no setting {rest!r}")
        found[first] = changed(inside, {rest: value})
    return found


def spelled(document: Mapping[str, Any]) -> bytes:
    """A document as it is written for people too."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
