"""`gridlink pack`: from a bundle and a list of libraries to one file that a board takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appmanager.packed.checks import FILES, Host, Site, read_candidate, refuse, this_host
from appmanager.packed.errors import BundleRefused
from appmanager.packed.unpack import unpack
from appmanager.store.disk import RealDisk
from gridlink.cli.libraries import Wanted, platform_tags
from gridlink.cli.pack import make
from gridlink.errors import ModuleInvalid
from gridlink.node.bundle import read_bundle
from tests.cli.conftest import Gridlink
from tests.cli.wheels import elf, wheel

Bundle = Callable[..., Path]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index: pure wheels, and native ones for two machines."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(
        folder, "dimmer", "1.4.0", {"dimmer/__init__.py": b"LEVEL = 7\n"}, needs=("gear>=1", "h11>=0.14"), script="dim"
    )
    wheel(folder, "gear", "1.0.0", {"gear.py": b"TEETH = 12\n"})
    wheel(folder, "gear", "2.0.0", {"gear.py": b"TEETH = 13\n"})
    for version in ("0.14.0", "0.99.0"):
        wheel(folder, "h11", version, {"h11/__init__.py": b"", "h11/part/__init__.py": b""})
    for tag, machine in (("manylinux2014_x86_64", 62), ("manylinux2014_aarch64", 183)):
        library = {"solver/__init__.py": b"", "solver/_core.cpython-311-x-linux-gnu.so": elf(machine)}
        wheel(folder, "solver", "3.0.0", library, tag=f"cp311-cp311-{tag}")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Makes a bundle's directory with this in its manifest and its requirements."""

    def made(requirements: str = "", **manifest: Any) -> Path:
        directory = tmp_path / "lamp"
        (directory / "lamp").mkdir(parents=True)
        document = {"name": "lamp", "version": "1.0.0", "entry": "lamp:Lamp"} | manifest
        (directory / "module.json").write_text(json.dumps(document))
        (directory / "lamp" / "__init__.py").write_text("class Lamp: ...\n")
        if requirements:
            (directory / "requirements.txt").write_text(requirements)
        return directory

    return made


def _make(directory: Path, wanted: Wanted, name: str = "lamp.glb") -> dict[str, Any]:
    return make(directory, read_bundle(directory).manifest, directory.parent / name, wanted)


def _unpacked(made: dict[str, Any], to: Path) -> Path:
    unpack(RealDisk(), Path(made["file"]), to, digest=made["digest"])
    return to


def test_an_author_packs_a_bundle_with_its_libraries(
    gridlink: Gridlink, bundle: Bundle, wheels: Path, tmp_path: Path
) -> None:
    """Libraries and what they need are in it, what the host has is not; elsewhere the same gives the same bytes."""
    directory = bundle("dimmer\n", requires={"h11": ">=0.14,<0.50", "python": ">=3.11"})
    (directory / "tests").mkdir()
    (directory / "tests" / "test_lamp.py").write_text("")
    (directory / ".git").mkdir()
    (directory / ".git" / "config").write_text("secret")
    made = gridlink("pack", directory, "--wheels", wheels, "--json", cwd=tmp_path).document
    assert made["libraries"] == {"dimmer": "1.4.0", "gear": "2.0.0"}
    assert (made["file"], made["platform"], made["python"]) == (str(tmp_path / "lamp-1.0.0.glb"), "", "3.11")
    found = _unpacked(made, tmp_path / "to")
    files = {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()}
    assert {"module.json", "lamp/__init__.py", "lib/gear.py", "lib/dimmer/__init__.py"} < files
    assert not {path for path in files if "h11" in path or "tests" in path or ".git" in path or "bin/" in path}
    record = next(found.glob("lib/dimmer-*/RECORD")).read_text()
    assert "bin/" not in record
    moved = tmp_path / "elsewhere" / "lamp"  # nothing of the place, or of the time, is in the file
    shutil.copytree(directory, moved, copy_function=shutil.copyfile)
    shutil.copytree(wheels, tmp_path / "other wheels")
    again = _make(moved, Wanted(wheels=tmp_path / "other wheels"))
    assert Path(again["file"]).read_bytes() == Path(made["file"]).read_bytes()
    assert again["digest"] == made["digest"]


def test_libraries_are_resolved_for_the_board(bundle: Bundle, wheels: Path, tmp_path: Path) -> None:
    """An author's x86-64 packs for an arm64 board; on the wrong machine the file is refused."""
    made = _make(bundle("solver\n"), Wanted("linux-aarch64", "3.11", wheels))
    assert (made["platform"], made["python"]) == ("linux-aarch64", "3.11")
    candidate = read_candidate(_unpacked(made, tmp_path / "to"))
    assert refuse(FILES, candidate, Host("3.11.2", "linux-aarch64"), Site()) == []
    reasons = dict(refuse(FILES, candidate, Host("3.12.1", "linux-x86_64"), Site()))
    assert "for linux-aarch64, this is linux-x86_64" in reasons["native libraries"]
    assert "for Python 3.11, this is 3.12" in reasons["platform"]


@pytest.mark.parametrize(
    ("requirements", "manifest", "why"),
    [
        ("nothing-of-that-name\n", {}, "No matching distribution found for nothing-of-that-name"),
        ("gridlink\n", {}, "gridlink comes from the host"),
        ("H11==0.99\n", {"requires": {"h11": ">=0.14"}}, "H11 comes from the host"),
        ("dimmer\n", {"requires": {"h11": ">=5"}}, r"dimmer 1\.4\.0 depends on h11>=0\.14; .*h11>=5"),
    ],
)
def test_libraries_that_can_not_be_had_are_told(
    bundle: Bundle, wheels: Path, requirements: str, manifest: dict[str, Any], why: str
) -> None:
    """With pip's own reason; and no file is made."""
    directory = bundle(requirements, **manifest)
    with pytest.raises(ModuleInvalid, match=why):
        _make(directory, Wanted(wheels=wheels))
    assert not list(directory.parent.glob("*.glb"))


def test_what_a_board_would_refuse_is_refused_when_it_is_packed(bundle: Bundle, tmp_path: Path) -> None:
    """Each with its reason, and no file is made."""
    directory = bundle(requires={"python": ">=3.99"})
    with pytest.raises(BundleRefused, match=r"needs Python >=3\.99"):
        _make(directory, Wanted())
    (directory / "module.json").write_text('{"name": "lamp", "version": "1.0.0", "entry": "light:Lamp"}')
    with pytest.raises(BundleRefused, match="names the package 'light'"):
        _make(directory, Wanted())
    (directory / "module.json").write_text('{"name": "lamp", "version": "1.0.0", "entry": "lamp:Lamp"}')
    (directory / "lib").mkdir()
    (directory / "lib" / "json.py").write_text("")
    with pytest.raises(BundleRefused, match=r"lib/json\.py hides 'json'"):
        _make(directory, Wanted())
    (directory / "lib" / "json.py").unlink()
    (directory / "lib" / "fast.so").write_bytes(elf(183))
    with pytest.raises(BundleRefused, match=f"for linux-aarch64, this is {this_host().platform}"):
        _make(directory, Wanted())
    (directory / "lib" / "fast.so").unlink()
    (directory / "lamp" / "link.py").symlink_to("__init__.py")
    with pytest.raises(ModuleInvalid, match="no plain file"):
        _make(directory, Wanted())
    (directory / "lamp" / "link.py").unlink()
    (directory / "requirements.txt").write_text("gear\n")
    with pytest.raises(ModuleInvalid, match=r"a requirements\.txt and a lib/"):
        _make(directory, Wanted())
    assert not list(tmp_path.glob("*.glb"))


def test_the_tags_of_a_board_are_those_of_its_wheels() -> None:
    """`linux-aarch64` is how a manifest says it; wheels have longer names."""
    assert {"manylinux2014_aarch64", "manylinux_2_28_aarch64", "linux_aarch64"} < set(platform_tags("linux-aarch64"))
    assert platform_tags("manylinux2014_armv7l") == ["manylinux2014_armv7l"]
    assert platform_tags("") == []


def test_the_bundles_of_the_use_case_can_be_packed(gridlink: Gridlink, tmp_path: Path) -> None:
    """Those that are delivered are the first examples."""
    modules = Path(__file__).parents[2] / "modules"
    for name in ("storage", "data_generator"):
        done = gridlink("pack", modules / name, "-o", tmp_path / f"{name}.glb")
        assert (done.status, done.err) == (0, "")
        assert "libraries: none" in done.out
    refused = gridlink("pack", tmp_path)
    assert (refused.status, "a bundle needs one" in refused.err) == (1, True)
