"""Native libraries: looked at before they are loaded, never shared between bundles, never loaded twice."""

from __future__ import annotations

import _heapq
from collections.abc import Callable
from pathlib import Path

import pytest

from nodemanager.isolation.layout import Native
from nodemanager.isolation.natives import Mapped, mapped, refusal

Alone = Callable[..., str]
NOTHING = Mapped(frozenset(), frozenset())
SOURCE = "from vendored import _heapq\ndef use(): heap = [3, 1]; _heapq.heapify(heap); return heap, _heapq.__file__"


@pytest.fixture
def native() -> str:
    """An extension module that is a file of its own, to be vendored as `vendored._heapq`."""
    path = getattr(_heapq, "__file__", None)
    if path is None:
        pytest.skip("this Python has _heapq built in")
    return str(path)


def test_what_is_mapped_is_known_by_path_and_by_inode(native: str) -> None:
    """The dynamic linker takes a file for one it has by either."""
    status = Path(native).stat()
    now = mapped()
    assert native in now.paths
    assert now.holds(Native(native, (0, 0), "x"))
    assert mapped(also=[(1, 2)]).holds(Native("/elsewhere.so", (1, 2), "x"))
    assert not now.holds(Native("/elsewhere.so", (status.st_dev, 2**62), "x"))


def test_lxml_is_refused_once_the_process_has_a_copy_of_it() -> None:
    """It keeps per-thread state under a fixed key: a second copy crashes, however it is loaded."""
    etree = Native("/b/lib/lxml/etree.so", (1, 1), "lxml")
    assert refusal([etree], NOTHING) is None
    assert "lxml" in str(refusal([etree], Mapped(frozenset({"/a/lib/lxml/etree.so"}), frozenset())))
    assert (
        refusal([Native("/b/lib/numpy/x.so", (1, 1), "numpy")], Mapped(frozenset({"/a/lxml/e.so"}), frozenset()))
        is None
    )


@pytest.mark.parametrize("how", ["link", "symlink"])
def test_two_bundles_never_load_the_same_file(how: str, native: str, alone: Alone) -> None:
    """A hard link shares the C state of its twin: segfaults, or silent wrong results."""
    alone(
        """
        import os, shutil
        for name in ("one", "two"):
            bundle(name, {"app/__init__.py": app, "lib/vendored/__init__.py": ""})
        shutil.copy(sys.argv[1], root / "one/lib/vendored/_heapq.so")
        getattr(os, sys.argv[2])(root / "one/lib/vendored/_heapq.so", root / "two/lib/vendored/_heapq.so")
        one, two = load("one", {}), load("two", {})
        assert one.target()[0] == two.target()[0] == [1, 3]
        inodes = {os.stat(loaded.target()[1]).st_ino for loaded in (one, two)}
        assert len(inodes) == 2 and one.space.lib.scratch is None and two.space.lib.scratch
        scratch = Path(two.space.lib.scratch)
        isolation.close()
        assert not scratch.exists()
        """,
        native,
        how,
        app=SOURCE,
    )


def test_a_restart_keeps_native_libraries_and_a_changed_lib_gets_a_fresh_copy(native: str, alone: Alone) -> None:
    """Loading the same path again gives C state that is half old; PyYAML, msgspec and cryptography broke."""
    alone(
        """
        import shutil
        bundle("one", {"app/__init__.py": app, "lib/vendored/__init__.py": ""})
        shutil.copy(sys.argv[1], root / "one/lib/vendored/_heapq.so")
        one = load("one", {})
        kept, file = one.space.lib, one.target()[1]
        one.unload()
        one = load("one", {})
        assert one.space.lib is kept and one.target() == ([1, 3], file)
        one.unload()
        one = load("one", {"lib/vendored/changed.py": ""})
        assert one.space.lib is not kept and one.target()[0] == [1, 3] and one.target()[1] != file
        """,
        native,
        app=SOURCE,
    )


def test_a_package_of_its_own_with_native_code_is_looked_after_too(native: str, alone: Alone) -> None:
    """An author may compile the module itself."""
    alone(
        """
        import shutil
        bundle("one", {"vendored/__init__.py": "def use(): from vendored import _heapq; return _heapq.__file__"})
        shutil.copy(sys.argv[1], root / "one/vendored/_heapq.so")
        one = load("one", {}, entry="vendored:use")
        first = one.target()
        one.unload()
        one = load("one", {}, entry="vendored:use")
        assert first == str(root / "one/vendored/_heapq.so") != one.target()
        one.unload()
        """,
        native,
    )


def test_a_process_that_died_leaves_its_copies_to_the_next(native: str, alone: Alone, tmp_path: Path) -> None:
    """On a board the temporary directory is memory."""
    source = """
        import os, shutil
        from nodemanager.isolation import scratch
        bundle("one", {"native.so": "x", "pure.py": ""})
        made = Path(scratch.fresh_copy(str(root / "one")))
        assert not (made / "native.so").is_symlink() and (made / "pure.py").is_symlink()
        assert [path.name for path in made.parent.glob("gridlink-lib-*")] == [made.name]
        print(made, flush=True)
        os._exit(0)
    """
    first, second = alone(source).strip(), alone(source).strip()
    assert first != second
    assert not Path(first).exists() and Path(second).exists()


def test_copies_are_in_the_directory_that_is_named_and_no_file_is_left_there(native: str, alone: Alone) -> None:
    """Not in the temporary one, which is memory on a board; and a killed process's go with the next start."""
    source = """
        import os, shutil
        for name in ("one", "two"):
            bundle(name, {"app/__init__.py": app, "lib/vendored/__init__.py": ""})
            shutil.copy(sys.argv[1], root / name / "lib/vendored/_heapq.so")
        os.remove(root / "two/lib/vendored/_heapq.so")
        (root / "two/lib/vendored/_heapq.so").hardlink_to(root / "one/lib/vendored/_heapq.so")
        copies = root / "state" / "native"
        isolation.keep_copies_in(copies)
        assert not copies.exists()
        load("one", {}), load("two", {})
        (copy,) = copies.iterdir()
        assert (copy / "vendored/_heapq.so").is_file()
        if sys.argv[2] == "killed":
            print(copies, flush=True)
            os._exit(0)
        isolation.remove_copies()
        assert not copies.exists()
    """
    left = Path(alone(source, native, "killed", app=SOURCE).strip())
    assert list(left.iterdir())
    alone(f"isolation.keep_copies_in(Path({str(left)!r}))\nassert not Path({str(left)!r}).exists()")
    alone(source, native, "ended", app=SOURCE)


def test_copies_are_bounded(alone: Alone) -> None:
    """What they take is a board's flash: beyond the bound a bundle goes to fork, and nothing of a try is left."""
    alone(
        """
        from nodemanager.isolation import scratch
        bundle("one", {"native.so": "x" * 4096, "pure.py": ""})
        scratch.keep_in(root / "copies")
        scratch.MOST_BYTES = 10_000
        made = [scratch.fresh_copy(str(root / "one")) for _ in range(2)]
        said = refused(OSError, scratch.fresh_copy, str(root / "one"))
        assert "all may take 0 MiB" in said, said
        assert sorted(map(str, (root / "copies").iterdir())) == sorted(made)
        scratch.LEAST_FREE_BYTES = 1 << 60
        scratch.MOST_BYTES = 1 << 62
        assert "are free" in refused(OSError, scratch.fresh_copy, str(root / "one"))
        scratch.remove_all()
        assert not (root / "copies").exists()
        """
    )


def test_a_copy_that_does_not_fit_sends_the_bundle_to_fork(native: str, alone: Alone) -> None:
    """A full disk must not look like a fault of the module."""
    alone(
        """
        import shutil
        for name in ("one", "two"):
            bundle(name, {"app/__init__.py": app, "lib/vendored/__init__.py": ""})
        shutil.copy(sys.argv[1], root / "one/lib/vendored/_heapq.so")
        (root / "two/lib/vendored/_heapq.so").hardlink_to(root / "one/lib/vendored/_heapq.so")
        one = load("one", {})
        isolation.keep_copies_in(root / "one" / "app" / "__init__.py" / "absent")  # below a file
        assert "fork" in refused(NotHostable, load, "two", {})
        assert one.target()[0] == [1, 3]
        """,
        native,
        app=SOURCE,
    )
