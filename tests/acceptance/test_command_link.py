"""A command whose node is killed while it waits for the outcome: it ends in its time, or finds the next node."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running, start
from tests.acceptance.sites import sites
from tests.acceptance.test_provisioning import gridlink
from tests.cli.terminal import Terminal
from tests.conftest import command

SLOW_STOP = """
    async def stop(self):
        import asyncio, pathlib
        pathlib.Path({mark!r}).touch()
        await asyncio.sleep(4)
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def slow(managed: Path, mark: Path) -> None:
    """A lamp that takes its time to stop, and says by a file that it has begun to."""
    bundle(managed, "lamp", good("lamp") + SLOW_STOP.format(mark=str(mark)))


def kill_all(node: Running) -> None:
    """Every process of it, its nats-server too."""
    guardian = psutil.Process(node.process.pid)
    for process in [guardian, *guardian.children(recursive=True)]:
        process.kill()
    node.process.wait()


@pytest.mark.parametrize("by", ["directory", "url"])
async def test_a_command_whose_site_is_gone_for_good_ends_when_it_expires(tmp_path: Path, by: str) -> None:
    """A rollout goes on to the next site; it doesn't wait for ever."""
    managed, mark, site = tmp_path / "managed", tmp_path / "stops", tmp_path.name
    slow(managed, mark)
    async with running(managed, "--site", site, site=site) as node:
        await node.all_running("lamp")
        before = ("--nats", node.file["url"], "--site", site) if by == "url" else ()
        tasks = Tasks("command")
        asked = tasks.spawn(gridlink(managed, *before, "uninstall", "lamp", "--expires", "6"), name="uninstall")
        await eventually(mark.exists, timeout_s=30)
        kill_all(node)
        async with asyncio.timeout(20):
            status, _, err = await asked
        assert (status, "uninstall: " in err) == (1, True), err


async def test_a_command_finds_the_node_that_was_started_anew_at_another_address(tmp_path: Path) -> None:
    """With -C: the port of a site's own server may be another one after each start; here the old one is taken."""
    managed, mark, site = tmp_path / "managed", tmp_path / "stops", tmp_path.name
    slow(managed, mark)
    tasks = Tasks("command")
    async with running(managed, "--site", site, site=site) as node:
        await node.all_running("lamp")
        url = node.file["url"]
        asked = tasks.spawn(gridlink(managed, "uninstall", "lamp", "--expires", "60"), name="uninstall")
        await eventually(mark.exists, timeout_s=30)
        kill_all(node)
    (managed / ".gridlink" / "node.json").unlink()
    with socket.create_server(("", urlsplit(url).port or 0)):
        await _told_by_the_next(managed, site, url, asked)


async def _told_by_the_next(managed: Path, site: str, url: str, asked: asyncio.Task[tuple[int, str, str]]) -> None:
    async with running(managed, "--site", site, site=site) as node:
        assert node.file["url"] != url
        async with asyncio.timeout(50):
            status, out, err = await asked
        assert (status, "uninstall lamp rolled back" in err) == (1, True), out + err  # what the journal says
        assert await gridlink(managed, "uninstall", "lamp") == (0, "lamp: uninstall done 1.0.0\n", "")


@pytest.mark.parametrize("word", ["start", "restart", "stop", "kill"])
async def test_a_command_that_may_wait_is_done_once_its_site_is_there(tmp_path: Path, word: str) -> None:
    """With `--expires`: a board that is being restarted, a link that is away."""
    for name in ("a", "b"):
        bundle(tmp_path / name, "lamp", good("lamp"))
    async with sites(tmp_path, "a") as one:
        await one.settled("lamp")
        asked = Terminal(command("--nats", one.url, "--site", "b", word, "lamp", "--expires", "60"))
        asked.shows("waits: no AppManager is running at site b")
        one.nodes["b"] = start(one.managed("b"), tmp_path / "b.out", "--nats", one.url, "--site", "b")
        asked.shows(rf"lamp: {word} done", within_s=40)
        assert asked.ends() == 0
