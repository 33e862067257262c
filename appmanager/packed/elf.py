"""What machine a native library is for: by its first bytes and by its name. Pure."""

from __future__ import annotations

import re
import struct

HEADER_BYTES = 20
_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PYTHON = re.compile(r"\.cpython-(\d)(\d+)")


def is_native(name: str) -> bool:
    """Whether a file's name is that of a native library."""
    return name.endswith((".so", ".pyd", ".dll", ".dylib")) or ".so." in name


def platform_of(header: bytes) -> str:
    """`linux-aarch64`, by the first 20 bytes of a file; `no library of Linux` for other files."""
    if header[:4] != b"\x7fELF" or len(header) < HEADER_BYTES:
        return "no library of Linux"
    bits, order = header[4], "<" if header[5] == 1 else ">"
    (machine,) = struct.unpack_from(f"{order}H", header, 18)
    name = _MACHINES.get(machine, f"machine {machine}")
    if name == "x86_64" and bits == 1:
        name = "x32"
    return f"linux-{name}"


def python_of(name: str) -> str:
    """`3.11`, by the name of an extension module; empty where it is for no certain one."""
    found = _PYTHON.search(name)
    return f"{found[1]}.{found[2]}" if found else ""
