"""The mode that an install was given, where `gridlink move` keeps it (`.gridlink/modes.json`): once it is committed."""

from __future__ import annotations

from appmanager.store.disk import Disk
from appmanager.store.layout import Layout
from appmanager.store.tree import read_whole, write_whole
from gridlink.codec import loads
from gridlink.config import typed
from gridlink.node.choices import FILE, spelled
from gridlink.node.plan import Choice


def keep_choice(disk: Disk, layout: Layout, module: str, choice: Choice) -> None:
    """Writes it down, durably; what is there already is left. Blocks. Raises OSError, ConfigInvalid, PayloadInvalid."""
    path = layout.own / FILE
    known = dict(typed(loads(read_whole(disk, path)), dict[str, Choice], str(path))) if disk.kind(path) else {}
    if known.get(module) != choice:
        write_whole(disk, path, spelled({**known, module: choice}))
