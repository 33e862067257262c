"""The mode that an install was given, where `gridlink move` keeps it (`.gridlink/modes.json`): once it is committed."""

from __future__ import annotations

import logging

from appmanager.store.aside import put_aside
from appmanager.store.disk import Disk
from appmanager.store.layout import Layout
from appmanager.store.tree import read_whole, write_whole
from gridlink.codec import loads
from gridlink.config import typed
from gridlink.errors import ConfigInvalid, PayloadInvalid
from gridlink.node.choices import FILE, spelled
from gridlink.node.plan import Choice

log = logging.getLogger("gridlink.provisioning")


def keep_choice(disk: Disk, layout: Layout, module: str, choice: Choice) -> None:
    """Writes it down, durably; what is there already is left, and what can't be read put aside. Raises OSError."""
    known = _known(disk, layout)
    if known.get(module) != choice:
        write_whole(disk, layout.own / FILE, spelled({**known, module: choice}))


def _known(disk: Disk, layout: Layout) -> dict[str, Choice]:
    path = layout.own / FILE
    if not disk.kind(path):
        return {}
    try:
        return dict(typed(loads(read_whole(disk, path)), dict[str, Choice], str(path)))
    except (ConfigInvalid, PayloadInvalid, OSError) as error:
        aside = put_aside(disk, layout.own, path)
        log.error("%s can't be read (%s), so it is begun anew: it is put aside as %s", path, error, aside)  # noqa: TRY400
        return {}
