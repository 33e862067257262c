"""Real libraries, two versions side by side: Cython, mypyc, PyO3 and numpy do what no made-up library does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .real_packages import USES, VERSIONS, install, make_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Alone = Callable[..., str]


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """Installs a package's two versions, once a test run."""
    root = tmp_path_factory.mktemp("libraries")

    def get(package: str) -> list[Path]:
        paths = [root / f"{package}-{number}" for number in range(2)]
        for path, requirements in zip(paths, VERSIONS[package], strict=True):
            install(path, requirements)
        return paths

    return get


SIDE_BY_SIDE = """
loaded = [isolation.load(Path(path), "app:use", name=Path(path).name) for path in sys.argv[1:]]
versions = [one.target() for one in loaded]
assert [one.target() for one in reversed(loaded)] == versions[::-1] and len(set(versions)) == 2, versions
for one in loaded:
    one.unload()
again = isolation.load(Path(sys.argv[1]), "app:use", name="again")
assert again.target() == versions[0]
"""


@pytest.mark.parametrize("package", sorted(USES))
def test_two_versions_of_a_library_work_side_by_side(
    package: str, libraries: Callable[[str], list[Path]], alone: Alone, tmp_path: Path
) -> None:
    """The promise of the node mode: own versions of any library a bundle."""
    paths = [make_bundle(tmp_path / path.name, path, package) for path in libraries(package)]
    alone(SIDE_BY_SIDE, *map(str, paths), warnings="ignore", timeout_s=120)


@pytest.mark.parametrize("first", ["host", "bundle"])
def test_a_native_library_of_the_host_and_another_version_in_a_bundle(
    first: str, libraries: Callable[[str], list[Path]], alone: Alone, tmp_path: Path
) -> None:
    """The host may load its own numpy before the bundle or after it."""
    pytest.importorskip("numpy")
    path = make_bundle(tmp_path / "old", libraries("numpy")[0], "numpy")
    alone(
        """
        if sys.argv[1] == "host":
            import numpy
        one = isolation.load(Path(sys.argv[2]), "app:use", name="one")
        old = one.target()
        import numpy
        assert numpy.__version__ != old == one.target() and numpy.arange(3).sum() == 3
        one.unload()
        import numpy.fft
        assert numpy.fft.fft([1, 2]).tolist() == [3, -1] and sys.modules["numpy"] is numpy
        """,
        first,
        str(path),
        warnings="ignore",
        timeout_s=120,
    )


SEVENTEEN = """
import json, os, random, time
sys.setswitchinterval(1e-5)
seed, bundles = random.Random(int(sys.argv[1])), json.loads(sys.argv[2])
seed.shuffle(bundles)
got = {}
def go(path, delay_s):
    time.sleep(delay_s)
    try:
        got[path] = isolation.load(Path(path), "app:use", name=Path(path).name).target()
    except BaseException as error:
        got[path] = repr(error)
threads = [threading.Thread(target=go, args=(path, seed.random() / 20), daemon=True) for path in bundles]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
print(json.dumps({Path(path).name: answer for path, answer in got.items()}), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("seed", range(30))
def test_seventeen_bundles_load_at_once_from_threads(
    seed: int, libraries: Callable[[str], list[Path]], alone: Alone, tmp_path: Path
) -> None:
    """A node starts its modules together; import locks and half-initialised extensions must not meet."""
    packages = [package for package in VERSIONS if package != "numpy"]
    libs = [(package, path) for package in packages for path in libraries(package)]
    libs = (libs * 2)[:17]
    paths = [make_bundle(tmp_path / f"{n}-{lib.name}", lib, package) for n, (package, lib) in enumerate(libs)]
    printed = alone(SEVENTEEN, str(seed), json.dumps([str(path) for path in paths]), warnings="ignore", timeout_s=120)
    versions: dict[str, set[str]] = {}
    for name, version in json.loads(printed.splitlines()[-1]).items():
        versions.setdefault(name.partition("-")[2], set()).add(version)
    assert len(versions) == 2 * len(packages) and sum(map(len, versions.values())) == len(versions), versions
    assert len({version for found in versions.values() for version in found}) == len(versions), versions
