"""What a bundle's directory is seen to bring."""

from __future__ import annotations

from pathlib import Path

from nodemanager.isolation.layout import digest, read_layout


def make(root: Path, *files: str) -> Path:
    """Empty files below `root`."""
    for file in files:
        root.joinpath(file).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(file).write_text("")
    return root


def test_packages_are_told_from_namespaces_and_from_mere_directories(tmp_path: Path) -> None:
    """A `docs` directory is no name that could collide."""
    make(tmp_path, "app/__init__.py", "single.py", "spaced/deep/leaf.py", "docs/a.md", "not-a-name/x.py", ".git/x.py")
    make(tmp_path, "lib/vendored.py", "lib/native/_x.cpython-311-x86_64-linux-gnu.so", "module.json", "app/fast.so")
    layout = read_layout(tmp_path)
    assert layout.packages == {"app", "single"}
    assert layout.namespaces == {"spaced"}
    assert layout.lib == str(tmp_path / "lib")
    assert [Path(native.path).name for native in layout.natives] == ["fast.so"]


def test_a_digest_is_of_names_and_contents_and_not_of_caches(tmp_path: Path) -> None:
    """It decides whether the libraries run again."""
    make(tmp_path / "a", "x.py", "p/y.py")
    make(tmp_path / "b", "x.py", "p/y.py", "p/__pycache__/y.cpython-311.pyc")
    assert digest(str(tmp_path / "a")) == digest(str(tmp_path / "b"))
    (tmp_path / "b/p/y.py").rename(tmp_path / "b/p/z.py")
    assert digest(str(tmp_path / "a")) != digest(str(tmp_path / "b"))
    (tmp_path / "b/p/z.py").rename(tmp_path / "b/p/y.py")
    (tmp_path / "b/x.py").write_text("1")
    assert digest(str(tmp_path / "a")) != digest(str(tmp_path / "b"))
