"""Packed bundles and orders, made without the commands: for tests that send many, or what no command would send."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from appmanager.orders import BundleOrder, Ended
from appmanager.packed.contents import Header
from appmanager.packed.writer import Source, pack
from gridlink.module.sender import Sender


def files_below(bundle: Path) -> dict[str, bytes]:
    """The files of a bundle's directory."""
    return {str(p.relative_to(bundle)): p.read_bytes() for p in sorted(bundle.rglob("*")) if p.is_file()}


def glb_of(bundle: Path, version: str) -> BundleOrder:
    """A bundle's directory as a `.glb` beside it, and the order to have it."""
    file = bundle.with_name(f"{bundle.name}-{version}.glb")
    with file.open("w+b") as out:
        sources = [Source(path, bundle / path) for path in files_below(bundle)]
        digest = pack(out, Header(1, bundle.name, version), sources)
    return BundleOrder("", bundle.name, digest, str(file))


def new(order: BundleOrder, **changed: Any) -> BundleOrder:
    """The same order as another command."""
    return structs.replace(order, id=secrets.token_hex(8), **changed)


async def asked(sender: Sender, manager: str, kind: str, order: Any) -> Ended:
    """What becomes of an order. Raises GridlinkError."""
    ended: Ended = await sender.request(manager, kind, msgspec.to_builtins(order), reply=Ended, timeout_s=30)
    return ended
