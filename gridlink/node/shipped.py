"""Where the bundles of the use case are: in the wheel's data, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

import gridlink
from gridlink.errors import ModuleInvalid


def shipped_bundles() -> Path:
    """The directory that holds the delivered bundles, one a directory. Raises ModuleInvalid where they are missing."""
    package = Path(gridlink.__file__).resolve().parent
    places = (package / "data" / "modules", package.parent / "modules")
    for place in places:
        if place.is_dir():
            return place
    looked = " and ".join(map(str, places))
    raise ModuleInvalid(f"expected the delivered bundles in {looked}, there are none: install gridlink again")
