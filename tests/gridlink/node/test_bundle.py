"""Bundles on disk, and how their classes are found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridlink import Module
from gridlink.errors import ConfigInvalid, GridlinkError, ManifestInvalid, ModuleInvalid, StartFailed
from gridlink.node.bundle import checked, find_bundles, load_alone, read_bundle, read_config
from tests.acceptance.running import bundle, good


@pytest.fixture(autouse=True)
def path_as_before() -> Iterator[None]:
    """Loading a bundle alone changes this interpreter."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("te_"):
            del sys.modules[name]


def test_a_bundle_is_read_without_running_its_code(tmp_path: Path) -> None:
    """`gridlink ls` of a directory must not import anything."""
    read = read_bundle(bundle(tmp_path, "te_good", "raise SystemExit"))
    assert read.manifest.name == "te_good"
    assert "te_good" not in sys.modules


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "no such file: a bundle needs one"), ("{", "JSON"), ("[]", "expected a JSON object"), ("", "JSON")],
)
def test_a_manifest_that_cannot_be_read_is_refused_by_file(tmp_path: Path, text: str | None, says: str) -> None:
    """Missing, broken, or something else."""
    if text is not None:
        (tmp_path / "module.json").write_text(text)
    with pytest.raises(ManifestInvalid) as caught:
        read_bundle(tmp_path)
    assert str(tmp_path / "module.json") in str(caught.value)
    assert says in str(caught.value)


def test_a_configuration_file_may_be_missing_but_not_broken(tmp_path: Path) -> None:
    """Defaults need no file."""
    assert read_config(tmp_path) == {}
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigInvalid):
        read_config(tmp_path)


def test_hidden_directories_and_files_are_no_bundles(tmp_path: Path) -> None:
    """`.gridlink` lies beside the bundles."""
    for name in ("b", "a", ".gridlink", "__pycache__"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert [path.name for path in find_bundles(tmp_path)] == ["a", "b"]


def test_the_class_of_a_bundle_is_loaded_with_its_own_library_first(tmp_path: Path) -> None:
    """`lib/` before the bundle's directory, both before this Python's packages."""
    directory = bundle(tmp_path, "te_lib", good("x") + "\nimport te_helper\nHELP = te_helper.HELP\n")
    (directory / "lib").mkdir()
    (directory / "lib" / "te_helper.py").write_text("HELP = 'lib'")
    (directory / "te_helper.py").write_text("HELP = 'bundle'")
    target = load_alone(read_bundle(directory)).target
    assert issubclass(target, Module)
    assert sys.modules["te_lib"].HELP == "lib"


@pytest.mark.parametrize(
    ("code", "entry", "error", "says"),
    [
        ("x = 1", "te_bad1:Probe", ModuleInvalid, "its package has no 'Probe'"),
        ("class Probe: ...", "te_bad2:Probe", ModuleInvalid, "expected a class derived from gridlink.Module"),
        (good("x"), "te_nowhere:Probe", ModuleInvalid, "no package 'te_nowhere'"),
        ("1 / 0", "te_bad4:Probe", StartFailed, "import of te_bad4: ZeroDivisionError"),
        ("import te_missing_library", "te_bad5:Probe", StartFailed, "te_missing_library"),
        ("def f(:", "te_bad6:Probe", GridlinkError, "SyntaxError"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, code: str, entry: str, error: type[GridlinkError], says: str
) -> None:
    """What can't get better by trying again is ModuleInvalid, the rest StartFailed."""
    name = entry.partition(":")[0] if "nowhere" not in entry else "te_bad3"
    with pytest.raises(error) as caught:
        load_alone(read_bundle(bundle(tmp_path, name, code, entry=entry)))
    assert says in str(caught.value)


def test_an_instance_or_function_is_no_module_class() -> None:
    """The entry must name a class."""
    for target in (print, 5, Module):
        if target is Module:
            assert checked(target, "a:B") is Module
        else:
            with pytest.raises(ModuleInvalid):
                checked(target, "a:B")
