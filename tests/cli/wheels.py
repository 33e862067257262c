"""Wheels for tests, made without a build tool."""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path


def wheel(
    directory: Path,
    name: str,
    version: str,
    files: dict[str, bytes],
    *,
    needs: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    script: str = "",
) -> Path:
    """Writes a wheel; `script`: the name of a command that it brings."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in needs)
    body = dict(files)
    body[f"{info}/METADATA"] = metadata.encode()
    body[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    if script:
        body[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script} = {name}:main\n".encode()
    record = "".join(f"{path},{_digest(content)},{len(content)}\n" for path, content in body.items())
    body[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = directory / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, content in body.items():
            archive.writestr(place, content)
    return path


def elf(machine: int) -> bytes:
    """The beginning of a native library for a machine (62: x86-64, 183: arm64)."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little") + bytes(44)


def _digest(content: bytes) -> str:
    return "sha256=" + urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
