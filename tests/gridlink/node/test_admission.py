"""What does not fit into memory is refused before it starts; what is free is what the tightest limit leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from gridlink.manifest import Manifest, Resources
from gridlink.node.admission import RESERVE_MIB, Free, admitted, read_free, refusal
from gridlink.node.plan import Planned

MIB = 1024 * 1024
FREE = Free(100.0 + RESERVE_MIB, "this machine")


def bundle(name: str, memory_mib: float | None) -> Planned:
    """A bundle as planned."""
    manifest = Manifest(name=name, version="1.0.0", entry="p:P", resources=Resources(memory_mib=memory_mib))
    return Planned(Path(name), name, manifest, "node")


def refused(planned: list[Planned]) -> list[str]:
    """The names of those that are."""
    return [one.name for one in planned if one.refused]


def test_what_fits_is_admitted_in_order_until_nothing_is_left() -> None:
    """A small one that comes after a large one that was refused still has its place."""
    planned = admitted([bundle("a", 60), bundle("b", 50), bundle("c", 40), bundle("d", 1)], FREE)
    assert refused(planned) == ["b", "d"]


def test_the_reason_has_the_numbers_and_what_to_do() -> None:
    """An operator decides by them."""
    _, second = admitted([bundle("a", 60), bundle("b", 50)], FREE)
    assert second.refused == (
        "it needs 50 MiB (resources.memory_mib), and 40 MiB are left for it: 116 MiB of this machine are free, 16 are "
        "kept, 60 promised to a: end something, give it more, or lower the number if the module takes less"
    )


def test_what_declares_nothing_or_runs_or_is_refused_already_is_left_as_it_is() -> None:
    """And takes nothing from the others."""
    broken = structs.replace(bundle("broken", 500), refused="no package")
    planned = admitted([bundle("silent", None), bundle("here", 500), broken, bundle("a", 100)], FREE, {"here"})
    assert refused(planned) == ["broken"]
    assert planned[2].refused == "no package"


def test_what_it_gives_back_is_free_to_itself() -> None:
    """It is restarted where nothing else is free any more; with a larger number it needs the difference."""
    full = Free(RESERVE_MIB - 10, "this machine")
    assert refusal(300, full, {}, own_mib=300) == ""
    assert refusal(300.5, FREE, {}, own_mib=200.5) == ""
    assert "300 MiB are left for it" in refusal(301, FREE, {}, own_mib=200)
    assert "116 MiB of this machine are free, 16 are kept, 200 it gives back: " in refusal(301, FREE, {}, own_mib=200)


def test_an_unknown_amount_refuses_nothing() -> None:
    """A system without /proc must not be one without modules."""
    assert refused(admitted([bundle("a", 1e9)], None)) == []
    assert read_free(Path("/nonexistent")) is None


def write(root: Path, files: dict[str, str]) -> None:
    """Files as the kernel shows them."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


MEMINFO = "MemTotal:  8000000 kB\nMemFree: 100 kB\nMemAvailable:    512000 kB\n"


def test_a_machine_without_limits_has_what_the_kernel_says_is_available(tmp_path: Path) -> None:
    """In version 2 `max` is no limit, in version 1 a number of petabytes."""
    none = "9223372036854771712\n"
    v1 = "sys/fs/cgroup/memory/"
    write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/a\n0::/a\n",
            f"{v1}a/memory.limit_in_bytes": none,
            f"{v1}a/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.current": "1\n",
        },
    )
    assert read_free(tmp_path) == Free(500.0, "this machine")


def test_a_limit_of_a_group_above_counts_too(tmp_path: Path) -> None:
    """systemd limits a slice, and we are in a service of it. Cached pages of files are free."""
    above = "sys/fs/cgroup/system.slice"
    write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/system.slice/gridlink.service\n",
            f"{above}/memory.max": f"{200 * MIB}\n",
            f"{above}/memory.current": f"{150 * MIB}\n",
            f"{above}/memory.stat": f"anon 1\ninactive_file {20 * MIB}\n",
            f"{above}/gridlink.service/memory.max": f"{300 * MIB}\n",
            f"{above}/gridlink.service/memory.current": f"{100 * MIB}\n",
        },
    )
    assert read_free(tmp_path) == Free(70.0, f"the cgroup's 200 MiB ({tmp_path / above})")


def test_version_1_is_read_as_well(tmp_path: Path) -> None:
    """Old boards; and a container that sees its own group as the root of the mount."""
    group = "sys/fs/cgroup/memory"
    write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:devices:/x\n4:cpu,memory:/docker/abc\n",
            f"{group}/memory.limit_in_bytes": f"{64 * MIB}\n",
            f"{group}/memory.usage_in_bytes": f"{60 * MIB}\n",
            f"{group}/memory.stat": f"cache 5\ntotal_inactive_file {MIB}\n",
        },
    )
    assert read_free(tmp_path) == Free(5.0, f"the cgroup's 64 MiB ({tmp_path / group})")


def _real_group() -> tuple[Path, str]:
    for root, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = Path(root) / f"gridlink-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            return group, limit
        group.rmdir()
    pytest.skip("no cgroup with memory can be made here: not the superuser")


def test_a_real_cgroup_of_this_kernel_is_obeyed() -> None:
    """What was read of files above is what this kernel writes."""
    group, limit = _real_group()
    code = (
        f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        "from gridlink.node.admission import read_free\nfree = read_free(); print(free.mib, free.of)"
    )
    try:
        (group / limit).write_text(str(300 * MIB))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
        mib, _, of = done.stdout.strip().partition(" ")
        assert of == f"the cgroup's 300 MiB ({group})"
        assert 200 < float(mib) <= 300
    finally:
        group.rmdir()
