"""A module that keeps the loop to itself is named with its stack and interrupted, and the others run again soon."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridlink import testing
from gridlink.errors import HandlerFailed
from gridlink.lifecycle import State
from gridlink.module.module import HostSpec, Loaded
from gridlink.node.bundle import read_bundle
from gridlink.testing import Site
from nodemanager import NodeManager
from tests.acceptance.running import bundle, good
from tests.nodemanager.watchdog.stalls import stalls

pytestmark = pytest.mark.timeout(60, method="thread")  # by signal, SIGALRM would be taken
BUNDLES = Path(__file__).with_name("bundles")
NODEMANAGER = Path(str(__import__("nodemanager").__file__)).parent
AGAIN_WITHIN_S = 0.75
SLOW = pytest.mark.slow

INTERRUPTED = {
    "sleep": "_sleep",
    "receive": "_receive",
    "lock": "_lock",
    "loop": "_loop",
    "regex": "_regex",
    "big_integer": "_big_integer",
    "json": "_json",
    "sort": "_sort",
    "query": "_query",
}

QUICK = ("sleep", "loop", "regex", "sort", "query")  # one of each kind; all of them among the slow tests


Tell = Callable[[str, str], None]


@asynccontextmanager
async def watched(directory: Path, tell: Tell = lambda what, text: None, **watchdog: Any) -> AsyncIterator[Site]:
    """A node with a watchdog and the module that hangs; reports are recorded."""
    async with testing.site(directory) as site:
        site.node.tell_guardian = tell
        spec = HostSpec(
            manifest=read_bundle(NODEMANAGER).manifest,
            load=lambda: Loaded(NodeManager),
            directory=NODEMANAGER,
            data_dir=directory / "nodemanager",
            mode="node",
            config={"watchdog": {"mode": "interrupt", **watchdog}},
        )
        await site.node.host(spec)
        await site.listen("health", "moduleHung")
        await host(site, BUNDLES / "hog")
        yield site


async def host(site: Site, directory: Path) -> None:
    """Has a bundle hosted by the NodeManager."""
    order = {"directory": str(directory), "data_dir": str(site.directory / directory.name), "managed_by": []}
    hosted = await site.request("nodemanager@test", "host", order)
    assert hosted["state"] == "RUNNING", hosted


async def hang(site: Site, how: str) -> Any:
    """Has the module hang; returns what it answers, or the error."""
    try:
        return await site.request("hog", "hang", how, timeout_s=20)
    except HandlerFailed as error:
        return error


@pytest.mark.parametrize(
    "how", [how if how in QUICK else pytest.param(how, marks=pytest.mark.slow) for how in INTERRUPTED]
)
async def test_it_is_named_and_interrupted_and_the_others_run_again(tmp_path: Path, how: str) -> None:
    """Whether it sleeps, waits or computes: its own request fails, no other does."""
    async with watched(tmp_path) as site:
        async with stalls() as stall:
            answer = await hang(site, how)
        assert isinstance(answer, HandlerFailed), answer
        report = await site.event("health", "moduleHung")
        assert (report["module"], report["instance"], report["action"]) == ("hog", "hog@test", "interrupted")
        assert any(line.endswith(f" Hog.{INTERRUPTED[how]}") for line in report["stack"]), report["stack"]
        assert report["held_s"] >= 0.5
        print(f"{how}: the others again after {stall.longest_s:.2f} s")
        assert stall.longest_s <= AGAIN_WITHIN_S
        assert (site.counters("hog").hung, site.counters("hog").stuck) == (1, 1)
        assert await site.request("hog", "count") == 1


@pytest.mark.parametrize("how", ["c_call", *(pytest.param(how, marks=SLOW) for how in ("swallow", "callback"))])
async def test_what_can_not_be_interrupted_is_named_all_the_same(tmp_path: Path, how: str) -> None:
    """One call into C, code that swallows every exception, a callback of C: the name is right in each case."""
    async with watched(tmp_path) as site:
        await hang(site, how)
        report = await site.event("health", "moduleHung")
        assert (report["module"], report["limit_s"]) == ("hog", 0.25)
        assert report["held_s"] >= 0.5
        assert report["stack"] == [] if how == "callback" else report["stack"][0].endswith(f" Hog._{how}")
        assert await site.request("hog", "count") == 1


async def test_warn_names_it_and_lets_it_go_on(tmp_path: Path) -> None:
    """An operator may want to know, and nothing else."""
    async with watched(tmp_path, mode="warn") as site:
        assert await hang(site, "sleep") == "ended by itself"
        report = await site.event("health", "moduleHung")
        assert (report["action"], site.counters("hog").errors) == ("named", 0)
        assert report["held_s"] == pytest.approx(1.2, abs=0.2)
        assert site.counters("hog").stuck == 1


@pytest.mark.slow
async def test_a_module_has_limits_of_its_own(tmp_path: Path) -> None:
    """One that is known to compute for long is let alone."""
    async with watched(tmp_path, modules={"hog": {"warn_s": 2.0, "interrupt_s": 3.0}}) as site:
        assert await hang(site, "sleep") == "ended by itself"
        assert site.counters("hog").hung == 0


@pytest.mark.slow
async def test_the_one_that_hangs_is_named_among_many(tmp_path: Path) -> None:
    """Others that are busy at the same time are not blamed, and their requests are answered."""
    async with watched(tmp_path) as site:
        await host(site, bundle(tmp_path, "busy", BUSY))
        asked = [asyncio.ensure_future(site.request("busy", "work", timeout_s=20)) for _ in range(20)]  # noqa: TID251
        assert isinstance(await hang(site, "loop"), HandlerFailed)
        assert await asyncio.gather(*asked) == ["done"] * 20
        assert (await site.event("health", "moduleHung"))["module"] == "hog"
        assert (site.counters("busy").hung, site.counters("hog").hung) == (0, 1)


async def test_many_short_steps_that_fill_the_loop_are_no_hang(tmp_path: Path) -> None:
    """A loop that is late for want of time has nobody to blame."""
    told: list[str] = []
    async with watched(tmp_path, lambda what, text: told.append(what), warn_s=0.1, interrupt_s=0.2) as site:
        await host(site, bundle(tmp_path, "busy", BUSY))
        told.clear()
        async with stalls() as stall:
            await asyncio.gather(*(site.request("busy", "burn", timeout_s=20) for _ in range(60)))
        assert stall.longest_s > 0.5  # the loop was late: 60 steps of 20 ms at one go
        assert "looks" in told  # or the guardian would take it for one that hangs
        assert "holds" not in told
        assert site.counters("busy").hung == 0


@pytest.mark.slow
async def test_a_start_for_which_another_version_waits_has_less_time(tmp_path: Path) -> None:
    """It is interrupted when it has kept the loop for as long as that one waits; its import isn't hurried."""
    hog = "import time\ntime.sleep(1.0)\n" + good("slow") + "\n    async def start(self):\n        time.sleep(30)\n"
    async with watched(tmp_path) as site:
        await host(site, bundle(tmp_path, "slow", good("slow")))
        await site.node.ask("slow@test", "hold", {"instance": "slow@test", "follower": ""})
        began_s = time.monotonic()
        order: dict[str, Any] = {
            "directory": str(bundle(tmp_path / "2", "slow", hog)),
            "data_dir": str(tmp_path / "data"),
            "managed_by": [],
        }
        order |= {"follows": "slow@test", "start_within_s": 0.6}
        hosted = await site.request("nodemanager@test", "host", order, timeout_s=30)
        assert ("held the event loop" in hosted["reason"], time.monotonic() - began_s < 6) == (True, True), hosted


@pytest.mark.parametrize(("wait_s", "step_s"), [(1.5, 0.7), (10.0, 5.2)])
async def test_a_start_that_is_only_named_is_not_stuck(tmp_path: Path, wait_s: float, step_s: float) -> None:
    """An update isn't rolled back for a step that its start may take: what counts is the limit that held then."""
    slow = "import time\n" + good("slow") + f"\n    async def start(self):\n        time.sleep({step_s})\n"
    async with watched(tmp_path) as site:
        await host(site, bundle(tmp_path, "slow", good("slow")))
        await site.node.ask("slow@test", "hold", {"instance": "slow@test", "follower": ""})
        order: dict[str, Any] = {
            "directory": str(bundle(tmp_path / "2", "slow", slow)),
            "data_dir": str(tmp_path / "data"),
            "managed_by": [],
            "follows": "slow@test",
            "start_within_s": wait_s,
        }
        hosted = await site.request("nodemanager@test", "host", order, timeout_s=30)
        assert hosted["state"] == "RUNNING", hosted
        assert (site.counters("slow").hung, site.counters("slow").stuck) == (1, 0)


@pytest.mark.slow
async def test_start_and_import_have_more_time(tmp_path: Path) -> None:
    """What a module does once, when it comes up, is no hang for some seconds."""
    slow = "import time\ntime.sleep(0.7)\n" + good("slow") + "\n    async def start(self):\n        time.sleep(0.7)\n"
    async with watched(tmp_path) as site:
        await host(site, bundle(tmp_path, "slow", slow))
        assert site.counters("slow").hung == 0


@pytest.mark.slow
async def test_a_module_that_takes_the_signal_gives_it_back(tmp_path: Path) -> None:
    """What gets round the refusal (C code) must not end the watch for good."""
    thief = (
        good("thief")
        + "\n    async def start(self):\n        import _signal\n        _signal.signal(14, lambda *_: None)\n"
    )
    async with watched(tmp_path) as site:
        before = signal.getsignal(signal.SIGALRM)
        await host(site, bundle(tmp_path, "thief", thief))
        assert signal.getsignal(signal.SIGALRM) != before
        await testing.eventually(lambda: signal.getsignal(signal.SIGALRM) == before, timeout_s=10)
        assert isinstance(await hang(site, "sleep"), HandlerFailed)


async def test_one_that_hangs_again_and_again_ends_where_nobody_can_move_it(tmp_path: Path) -> None:
    """No AppManager started it: it is FAILED with the reason, and the others go on."""
    async with watched(tmp_path, mode="move", warn_s=0.1, interrupt_s=0.2, offences=1) as site:
        for _ in range(2):
            assert isinstance(await hang(site, "sleep"), HandlerFailed)
        entry = await testing.eventually(
            lambda: next((e for e in site.node.registry.instances() if e.state is State.FAILED), None)
        )
        assert entry.name == "hog"
        assert "interrupted once too often" in entry.reason
        assert "no AppManager runs it" in entry.reason
        assert [(await site.event("health", "moduleHung"))["action"] for _ in range(2)] == ["interrupted", "moved"]


@pytest.mark.slow
async def test_an_import_that_never_ends_is_interrupted_after_a_longer_time(tmp_path: Path) -> None:
    """The module is FAILED; its node needs no replacing."""
    async with watched(tmp_path) as site:
        endless = bundle(tmp_path, "endless", "while True: pass\n" + good("endless"))
        order = {"directory": str(endless), "data_dir": str(tmp_path / "data"), "managed_by": []}
        hosted = await site.request("nodemanager@test", "host", order, timeout_s=20)
        assert hosted["state"] == "FAILED"
        assert "ModuleInterrupted" in hosted["reason"]
        assert (await site.event("health", "moduleHung"))["limit_s"] == 4.0


async def test_it_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    """The timer and its handler go with the NodeManager; sqlite3 is as it was."""
    import sqlite3  # noqa: PLC0415

    async with watched(tmp_path):
        assert signal.getitimer(signal.ITIMER_REAL)[1] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert sqlite3.connect.__module__ != "nodemanager.watchdog.sqlite" and not hasattr(sqlite3.connect, "__wrapped__")


async def test_a_process_that_was_stopped_has_nobody_to_blame(tmp_path: Path) -> None:
    """SIGSTOP, a debugger, a suspended machine: time passed, and nobody ran."""
    async with watched(tmp_path, warn_s=0.1, interrupt_s=0.2) as site:
        await host(site, bundle(tmp_path, "busy", BUSY))
        stop = f"sleep 0.3; kill -STOP {os.getpid()}; sleep 0.7; kill -CONT {os.getpid()}"
        async with stalls() as stall:
            stopped = await asyncio.create_subprocess_exec("sh", "-c", stop)
            while stopped.returncode is None:
                await site.request("busy", "burn")
        assert stall.longest_s > 0.5
        assert site.counters("busy").hung == 0


BUSY = good("busy") + (
    "\n    @request('work')\n"
    "    async def work(self) -> str:\n"
    "        import asyncio\n"
    "        for _ in range(20):\n"
    "            self._burn(0.005)\n"
    "            await asyncio.sleep(0)\n"
    "        return 'done'\n"
    "\n    @request('burn')\n"
    "    async def burn(self) -> str:\n"
    "        self._burn(0.02)\n"
    "        return 'done'\n"
    "\n    def _burn(self, s):\n"
    "        import time\n"
    "        end = time.thread_time() + s\n"
    "        while time.thread_time() < end: pass\n"
)
