"""What a child's process may take and whose it is: kept by the kernel, and said where a limit struck."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from appmanager.guardian import cgroups, child
from appmanager.guardian.limits import Limits
from appmanager.guardian.log import Log
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.appmanager.guardian.processes import answers, pid
from tests.gridlink.conftest import require_nats_server

MIB = 1024 * 1024
TAKES = """
    @request("fill")
    async def fill(self) -> None:
        self.kept = [b"x" * (1 << 20) for _ in range(300)]

    @request("burn", thread=True)
    def burn(self) -> float:
        import time
        until_s, before_s = time.monotonic() + 1.0, time.process_time()
        while time.monotonic() < until_s:
            pass
        return time.process_time() - before_s
"""


def have_cgroups() -> bool:
    """Whether this machine gives us cgroups for memory and cpu."""
    return set(cgroups.CONTROLLERS) <= cgroups.find([os.getpid()]).parents.keys()


def leftovers(guardian: int) -> list[str]:
    """The cgroups of a guardian, by its id."""
    parents = set(cgroups.find([os.getpid()]).parents.values())
    mine = f"{cgroups.PREFIX}{guardian}."
    return [name for parent in parents for name in os.listdir(parent) if name.startswith(mine)]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    """Limited modules, one forked and one in an interpreter of its own, and one that has no limit."""
    require_nats_server()
    if not have_cgroups():
        pytest.skip("no cgroup for memory and cpu is ours to write to")
    directory = tmp_path / "managed"
    bundle(directory, "forked", good("forked") + TAKES, mode="fork", resources={"memory_mib": 8, "cpu": 0.2})
    bundle(directory, "apart", good("apart") + TAKES, mode="process", resources={"memory_mib": 8})
    bundle(directory, "free", good("free") + TAKES, mode="fork")
    async with running(directory) as node:
        await node.all_running("appmanager", "forked", "apart", "free")
        yield node


def has_another_process(node: Running, name: str, before: int) -> bool:
    """Whether a module has been started again."""
    return pid(node, name) not in (0, before)


async def test_a_module_that_fills_memory_is_killed_alone_restarted_and_the_limit_is_named(node: Running) -> None:
    """In both modes; the one without a limit keeps what it takes."""
    before = {name: pid(node, name) for name in ("forked", "apart", "free")}
    await node.sender.request("free", "fill", timeout_s=20)
    for name in ("forked", "apart"):
        await node.sender.send(name, "fill")
        await eventually(partial(has_another_process, node, name, before[name]), timeout_s=15)
        await eventually(partial(answers, node, name))
        assert f"{name} is BACKOFF: its process ended: it was killed at its memory limit of 32 MiB" in node.output()
    assert pid(node, "free") == before["free"]


async def test_a_limited_processor_time_holds_a_module_back_and_no_cgroup_is_left(node: Running) -> None:
    """A fifth of a processor; the module without a limit has all that is free."""
    used_s = await node.sender.request("forked", "burn", timeout_s=20)
    assert used_s < 0.5
    assert await node.sender.request("free", "burn", timeout_s=20) > used_s
    assert leftovers(node.process.pid)
    assert node.stop() == 0
    assert leftovers(node.process.pid) == []


def in_child(confined: Callable[[int, int], int]) -> int:
    """The exit status of a child that runs so."""
    started = child.start("limited", confined)
    _, status = os.waitpid(started.pid, 0)
    started.close()
    return os.waitstatus_to_exitcode(status)


def fill(_: int, __: int) -> int:
    """Takes 300 MiB; 7 where that is refused."""
    try:
        kept = [b"x" * MIB for _ in range(300)]
    except MemoryError:
        return 7
    return len(kept) - 300


def priority(_: int, __: int) -> int:
    """The niceness."""
    return os.nice(0)


def test_without_cgroups_memory_is_limited_by_rlimits_and_processor_time_by_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an unprivileged node on a shell's session has; it is said once."""
    monkeypatch.setattr(cgroups, "find", lambda ours: cgroups.Cgroups({}, is_v2=False))
    limits = Limits(Log(str(tmp_path / "log"), as_json=False))
    confinement = limits.confine("limited", f"memory={40 * MIB} cpu=0.5", [])
    assert in_child(confinement.entered(fill, is_fresh=False)) == 7
    assert in_child(confinement.entered(priority, is_fresh=False)) == min(19, os.nice(0) + 10)
    assert in_child(limits.confine("free", "", []).entered(fill, is_fresh=False)) == 0
    assert confinement.verdict() == ""
    said = capfd.readouterr().err
    assert said.count("gets a MemoryError") == 1


V1 = "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n"
V1_MOUNTS = (
    "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 25 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 25 0:29 / / rw - ext4 /dev/sda rw\n"
)
CGROUP2 = "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "v1", "v2"),
    [
        (V1, V1_MOUNTS, {"memory": "/sys/fs/cgroup/memory/a/b", "cpu": "/sys/fs/cgroup/cpu/"}, ""),
        ("0::/system.slice/gl.service\n", CGROUP2, {}, "/sys/fs/cgroup/system.slice/gl.service"),
        ("0::/docker/x/y\n", CGROUP2.replace(" / /sys", " /docker/x /sys"), {}, "/sys/fs/cgroup/y"),
        ("", "", {}, ""),
    ],
)
def test_our_own_cgroups_are_found(groups: str, mounts: str, v1: dict[str, str], v2: str) -> None:
    """As the kernel names them, in a container too."""
    assert cgroups.own_directories(groups, mounts) == (v1, v2)


WHO = """
    @request("who")
    async def who(self) -> list[int]:
        import os
        (self.data_dir / "mine").write_text("x")
        return [os.getuid(), os.geteuid(), os.getgid(), *os.getgroups()]

    @request("grab")
    async def grab(self) -> str:
        import os
        try:
            os.setuid(0)
        except PermissionError:
            return "refused"
        return "root"
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users may read: pytest's are ours alone."""
    with tempfile.TemporaryDirectory(prefix="gridlink-users-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_a_module_runs_as_the_user_that_the_site_names_and_its_files_are_that_users(open_directory: Path) -> None:
    """It was asked for in the node: another user needs a process, and the operator is told."""
    require_nats_server()
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    nobody = pwd.getpwnam("nobody")
    managed = open_directory / "managed"
    bundle(managed, "guest", good("guest") + WHO)
    bundle(managed, "unknown", good("unknown"), mode="fork")
    (managed / "site.json").write_text('{"users": {"guest": "nobody", "unknown": "nobody_there"}}')
    async with running(managed) as node:
        await node.all_running("appmanager", "guest")
        groups = os.getgrouplist("nobody", nobody.pw_gid)
        found = await node.sender.request("guest", "who")
        assert found[:3] == [nobody.pw_uid, nobody.pw_uid, nobody.pw_gid]
        assert set(found[3:]) <= set(groups)
        assert await node.sender.request("guest", "grab") == "refused"
        assert (managed / ".gridlink/data/guest/mine").stat().st_uid == nobody.pw_uid
        assert (managed / f".gridlink/logs/{node.file['node']}-guest.log").stat().st_uid == nobody.pw_uid
        assert node.state("guest")[1] == "it runs as user 'nobody', so in a process of its own"
        await eventually(lambda: node.state("unknown")[0] == "FAILED")
        assert "whom this machine doesn't know" in node.state("unknown")[1]
        assert node.stop() == 0


def test_cgroups_of_version_2_get_the_limits_in_their_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The files are plain ones here: this machine may have version 1."""
    parents = dict.fromkeys(cgroups.CONTROLLERS, str(tmp_path))
    monkeypatch.setattr(cgroups, "find", lambda ours: cgroups.Cgroups(parents, is_v2=True))
    confinement = Limits(Log(str(tmp_path / "log"), as_json=False)).confine("storage", f"memory={MIB} cpu=0.25", [])
    place = tmp_path / f"gridlink.{os.getpid()}.storage"
    assert (place / "memory.max").read_text() == str(MIB)
    assert not (place / "cpu.max").exists()
    confinement.started()
    assert (place / "cpu.max").read_text() == "25000 100000"
    assert confinement.verdict() == ""
    (place / "memory.events").write_text("low 0\noom 3\noom_kill 1\n")
    assert confinement.verdict().startswith("it was killed at its memory limit of 1 MiB")
    (place / "cpu.stat").write_text("usage_usec 9\nthrottled_usec 12000000\n")
    confinement.close()
    assert "storage: its limit of 0.25 cpu held it back for 12 s in all" in capfd.readouterr().err


@pytest.mark.parametrize("ours", [True, False])
def test_a_cgroup_of_version_2_is_taken_only_where_it_is_ours_alone(tmp_path: Path, ours: bool) -> None:
    """A shell's session must not be moved about; what is ours moves into a leaf, as version 2 wants it."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.procs").write_text("11\n12\n" if ours else "11\n12\n13\n")
    assert cgroups._delegated(str(tmp_path), {11, 12}) is ours
    main = tmp_path / f"gridlink.{os.getpid()}.main"
    assert main.exists() is ours
    assert (tmp_path / "cgroup.subtree_control").read_text() == ("+memory +cpu" if ours else "")
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    assert not cgroups._delegated(str(tmp_path), {11, 12, 13})
