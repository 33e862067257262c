"""Bundles for tests: real files, packed as an author's are, and zips that no author makes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appmanager.packed.contents import Header
from appmanager.packed.writer import Source, pack

MANIFEST: dict[str, Any] = {"name": "lamp", "version": "1.0.0", "entry": "lamp:Lamp"}


def files_of(version: str = "1.0.0", **more: str | bytes) -> dict[str, bytes]:
    """The files of a small bundle; `more`: others, by path with `__` for `/`."""
    found: dict[str, bytes] = {
        "module.json": json.dumps(MANIFEST | {"version": version}).encode(),
        "config.json": b'{"watt": 40}',
        "lamp/__init__.py": f"VERSION = {version!r}\n".encode(),
        "lamp/parts/bulb.py": b"BULB = 1\n" * 100,
    }
    return found | {name: body if isinstance(body, bytes) else body.encode() for name, body in more.items()}


def packed(directory: Path, files: Mapping[str, bytes], header: Header | None = None) -> tuple[bytes, str]:
    """The `.glb` of these files, and its digest."""
    sources = []
    for path, body in files.items():
        file = directory / "files" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        sources.append(Source(path, file))
    manifest = json.loads(files.get("module.json", json.dumps(MANIFEST)))
    out = io.BytesIO()
    digest = pack(out, header or Header(1, manifest["name"], manifest["version"]), sources)
    return out.getvalue(), digest
