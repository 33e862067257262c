"""A large bundle is unpacked in little memory: a board has none to spare."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from appmanager.packed.contents import Header, Listed, line
from appmanager.packed.names import CONTENTS
from appmanager.packed.writer import Archive

MIB = 1024 * 1024
MOST_MIB = 8.0
_PROGRAM = """
import sys
from pathlib import Path
from appmanager.packed.unpack import unpack
from appmanager.store.disk import RealDisk
def kib(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before = kib("VmRSS")
found = unpack(RealDisk(), Path(sys.argv[1]), Path(sys.argv[2]))
print(kib("VmHWM") - before, found.size_bytes)
"""


def _large(path: Path, size_mib: int, files: int) -> None:
    """A bundle that can't be compressed, and has many small files too."""
    chunk = b"".join(hashlib.sha256(bytes([at % 256, at // 256])).digest() for at in range(MIB // 32))
    digest = hashlib.sha256()
    for _ in range(size_mib):
        digest.update(chunk)
    large = Listed("large.bin", size_mib * MIB, digest.hexdigest())
    small = [Listed(f"small/{number:05d}", 1, hashlib.sha256(b"x").hexdigest()) for number in range(files)]
    with path.open("w+b") as out:
        archive = Archive(out)
        archive.add(CONTENTS, [line(Header(1, "lamp", "1.0.0")), line(large), *map(line, small)])
        archive.add(large.path, [chunk] * size_mib)
        for one in small:
            archive.add(one.path, [b"x"])
        archive.close()


def _extra_mib(tmp_path: Path, size_mib: int, files: int) -> float:
    file = tmp_path / "large.glb"
    _large(file, size_mib, files)
    assert file.stat().st_size > size_mib * MIB * 0.9
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(file), str(tmp_path / "to")],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    kib, size_bytes = map(int, done.stdout.split())
    assert size_bytes > size_mib * MIB
    assert kib > 0
    print(f"{size_mib} MiB, {files} files: {kib / 1024:.1f} MiB more")
    return kib / 1024


def test_a_large_bundle_takes_little_memory(tmp_path: Path) -> None:
    """What is unpacked is never in memory as a whole, nor is the list of its files."""
    assert _extra_mib(tmp_path, 12, 500) <= MOST_MIB / 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_bundle_of_a_hundred_megabytes_takes_little_memory(tmp_path: Path) -> None:
    """The figure that was promised."""
    assert _extra_mib(tmp_path, 100, 10_000) <= MOST_MIB
