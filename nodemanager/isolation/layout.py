"""What a bundle's directory brings: top-level names, native libraries, the digest of its `lib/`. Only reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.machinery import all_suffixes
from pathlib import Path

from msgspec import Struct

LIB = "lib"
_NOT_PACKAGES = frozenset({"__pycache__", "bin", "include", "share", LIB})
_CHUNK_BYTES = 1 << 20


class Native(Struct, frozen=True):
    """A native library on disk. `inode` is (device, inode): two names of one inode share their C state."""

    path: str
    inode: tuple[int, int]
    distribution: str


class Layout(Struct, frozen=True):
    """A bundle on disk. `packages` are modules and packages with `__init__`; `namespaces` are those without."""

    directory: str
    packages: frozenset[str]
    namespaces: frozenset[str]
    has_metadata: bool
    lib: str | None
    natives: tuple[Native, ...]


def read_layout(directory: Path) -> Layout:
    """Looks at a bundle's directory. Raises OSError where it can't be read."""
    root = str(directory.resolve())
    lib = f"{root}/{LIB}"
    return Layout(
        directory=root,
        packages=frozenset(name for name, regular in top_level(root) if regular),
        namespaces=frozenset(name for name, regular in top_level(root) if not regular),
        has_metadata=any(name.endswith((".dist-info", ".egg-info")) for name in os.listdir(root)),
        lib=lib if directory.joinpath(LIB).is_dir() else None,
        natives=tuple(native for native in natives_below(root) if not native.path.startswith(lib + "/")),
    )


def top_level(root: str) -> Iterator[tuple[str, bool]]:
    """The top-level names below `root`, and whether each is a module or a package with `__init__`."""
    suffixes = sorted(all_suffixes(), key=len, reverse=True)
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name.isidentifier() and entry.name not in _NOT_PACKAGES:
                    if any(Path(entry.path, "__init__" + suffix).exists() for suffix in suffixes):
                        yield entry.name, True
                    elif any(file.endswith(tuple(suffixes)) for file in files_below(entry.path)):
                        yield entry.name, False
                continue
            suffix = next((suffix for suffix in suffixes if entry.name.endswith(suffix)), "")
            name = entry.name.removesuffix(suffix)
            if suffix and name.isidentifier():
                yield name, True


def files_below(root: str) -> Iterator[str]:
    """The files below `root` in a fixed order, without bytecode caches."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (f"{folder}/{name}" for name in sorted(files))


def natives_below(root: str) -> Iterator[Native]:
    """The native libraries below `root`, with the distribution that brought each (its top-level folder or module)."""
    for path in files_below(root):
        file = path.rpartition("/")[2]
        if file.endswith(".so") or ".so." in file:
            status = Path(path).stat()
            first = path[len(root) + 1 :].partition("/")[0]
            name = first.partition(".")[0].lower().replace("_", "-")
            yield Native(path, (status.st_dev, status.st_ino), name)


def digest(root: str) -> str:
    """A hash of the names and contents below `root`. Reads everything: call it once a load."""
    from hashlib import blake2b  # noqa: PLC0415 (only bundles with a lib/ need it)

    total = blake2b(digest_size=16)
    for path in files_below(root):
        total.update(f"{path[len(root) :]}\0{Path(path).stat().st_size}\0".encode())
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                total.update(chunk)
    return total.hexdigest()
