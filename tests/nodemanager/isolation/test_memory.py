"""What isolation costs: memory a bundle and a cycle, nanoseconds an import. Measured in an interpreter of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from .real_packages import VERSIONS, install, make_bundle

Alone = Callable[..., str]
DIRTY = """
def dirty_kib():
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
"""
CYCLES = (
    DIRTY
    + """
directory, samples = Path(sys.argv[1]), []
for cycle in range(200):
    one = isolation.load(directory, "app:use", name="one")
    one.target()
    one.unload()
    if cycle % 10 == 9:
        samples.append(dirty_kib())
print(samples)
"""
)


INTERNED_KIB = 1024
"""CPython's table of interned strings grows once: 0.9 MiB."""


def kib_a_cycle(printed: str) -> float:
    """What each of the last 150 cycles took, of the KiB after each ten; one step isn't counted, up to INTERNED_KIB."""
    samples: list[int] = json.loads(printed)[4:]
    steps = [later - earlier for earlier, later in pairwise(samples)]
    return (sum(steps) - min(max(steps), INTERNED_KIB)) / (10 * len(steps))


@pytest.mark.parametrize(
    ("steps", "kib"),
    [([900], 0.0), ([4000], 2976 / 150), ([900, 900], 6.0), ([20] * 15, 280 / 150)],
)
def test_what_is_left_out_of_the_cycles_is_one_step_of_a_size_that_is_known(steps: list[int], kib: float) -> None:
    """Else a leak that comes at once in the last 150 would be none."""
    samples = [10_000, 10_000, 10_000, 10_000, *accumulate([0] * (15 - len(steps)) + steps, initial=10_000)]
    assert len(samples) == 200 / 10
    assert kib_a_cycle(json.dumps(samples)) == pytest.approx(kib)


def test_an_idle_isolation_loads_nothing_heavy(alone: Alone) -> None:
    """Most boards never arm: they pay for a few small files."""
    alone("""
        ours = {"nodemanager.isolation." + name for name in ("interpreter", "armed", "layers", "natives", "metadata")}
        heavy = {"ctypes", "importlib.metadata", "fcntl", "opcode"}
        before = set(sys.modules)
        plain = load("plain", {"mine/__init__.py": "use = 1"}, entry="mine:use")
        assert not heavy & (set(sys.modules) - before)
        assert not ours & set(sys.modules)
    """)


@pytest.mark.slow
def test_importing_the_stdlib_in_a_bundle_costs_what_it_always_did(alone: Alone) -> None:
    """Handlers import lazily; a private `__import__` cost three times as much."""
    printed = alone(
        """
        import types
        plain = types.ModuleType("plain")
        exec(app, vars(plain))
        def best(measure):
            return min(measure() for _ in range(60))
        outside = best(plain.use)
        one = load("one", {"app/__init__.py": app, "lib/x.py": ""})
        ratio = min(best(one.target) / outside for _ in range(3))
        print(ratio)
        assert ratio <= 1.3, ratio
        """,
        app="""
import time
def use():
    begin = time.perf_counter()
    for _ in range(20_000):
        import json
    return time.perf_counter() - begin
""",
    )
    print("import of the stdlib in a bundle, as often as plain:", printed)


@pytest.mark.slow
def test_a_tiny_bundle_costs_some_kilobytes(alone: Alone) -> None:
    """Fifty modules a board: what each costs is multiplied."""
    alone(
        DIRTY
        + """
directories = [bundle(str(number), {"app/__init__.py": "V = 1\\ndef use(): return V"}) for number in range(220)]
kept = [isolation.load(path, "app:use", name=path.name) for path in directories[:20]]
before = dirty_kib()
kept += [isolation.load(path, "app:use", name=path.name) for path in directories[20:]]
each = (dirty_kib() - before) / 200
assert isolation.armed and each <= 12, each
"""
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_loading_and_unloading_a_small_bundle_stays_flat(alone: Alone, tmp_path: Path) -> None:
    """A module that is restarted all night must not take the board's memory."""
    tmp_path.joinpath("one", "app").mkdir(parents=True)
    tmp_path.joinpath("one", "lib").mkdir()
    tmp_path.joinpath("one", "app", "__init__.py").write_text(
        "import dataclasses, logging\nfrom app import part\n@dataclasses.dataclass\nclass A:\n    x: int = 0\n"
        "def use(): return A(part.V)\n"
    )
    tmp_path.joinpath("one", "app", "part.py").write_text("V = 1\n")
    printed = alone(CYCLES, str(tmp_path / "one"), timeout_s=280)
    print("KiB a cycle over the last 150, KiB after each ten:", kib_a_cycle(printed), printed)
    assert kib_a_cycle(printed) <= 2, printed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_loading_and_unloading_a_bundle_with_requests_stays_flat(alone: Alone, tmp_path: Path) -> None:
    """requests leaves atexit callbacks, warnings filters and handlers: 24 KiB a cycle where nobody cleans them."""
    install(tmp_path / "requests", VERSIONS["requests"][1])
    directory = make_bundle(tmp_path / "one", tmp_path / "requests", "requests")
    printed = alone(CYCLES, str(directory), timeout_s=500, warnings="ignore")
    print("KiB a cycle over the last 150, KiB after each ten:", kib_a_cycle(printed), printed)
    assert kib_a_cycle(printed) <= 2, printed
