"""Finds native libraries that were made for another kind of machine: what an import fails for says nothing of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HEADER_BYTES = 20
_MACHINES = {3: "x86", 40: "armhf", 62: "x86_64", 183: "aarch64", 243: "riscv64"}  # e_machine of the ELF header


def hint(directory: Path) -> str:
    """`FILE is for aarch64, this is x86_64: …; ` where a bundle brings such a library, else nothing."""
    own = _machine(Path(sys.executable))
    for folder, _, files in os.walk(directory):
        for name in sorted(files):
            if name.endswith(".so") or ".so." in name:
                machine = _machine(Path(folder, name))
                if machine and own and machine != own:
                    file = Path(folder, name).relative_to(directory)
                    return f"{file} is for {machine}, this is {own}: pack the bundle for this machine; "
    return ""


def _machine(path: Path) -> str:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return ""
    if len(header) < _HEADER_BYTES or not header.startswith(b"\x7fELF"):
        return ""
    number = int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
    return _MACHINES.get(number, f"machine {number}")
