"""Install and update from a desk on another machine: the bundle goes through a store, over real nats-servers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from gridlink.bus.server import Server, configuration
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import PROGRAM, counted, done, gridlink, leftovers, packed
from tests.acceptance.test_waves import tree

SAVED_UP_BYTES = 1_500_000  # in the first second
SLOW = {"transfer": {"bytes_per_s": SAVED_UP_BYTES}}
BIG_BYTES = 6_000_000


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with one module that is not the tests' business."""
    directory = tmp_path / "managed"
    bundle(directory, "lamp", good("lamp"))
    return directory


def site(managed: Path, document: Mapping[str, object]) -> None:
    """Writes the site file."""
    (managed / "site.json").write_text(json.dumps(document))


async def packed_big(directory: Path, version: str = "1.0.0") -> Path:
    """The counter, with a file in it that takes some seconds."""
    made = directory / version / "counter" / "counter"
    file = await packed(directory, version)
    (made / "big.bin").write_bytes(random.Random(version).randbytes(BIG_BYTES))
    await done(directory, "pack", made.parent, "-o", file)
    return file


async def has_store(managed: Path) -> bool:
    """Whether the site's store answers; it is started."""
    node = json.loads((managed / ".gridlink" / "node.json").read_text())["node"]
    await done(managed, "call", f"appmanager@{node}", "startStore")
    return (await gridlink(managed, "store"))[0] == 0


def received(managed: Path) -> int:
    """How much of the counter has come, surely."""
    file = managed / ".gridlink" / "incoming" / "counter.glb.progress"
    return int(json.loads(file.read_text())["durable_bytes"]) if file.exists() else 0


async def test_a_bundle_goes_through_the_store_and_is_installed_by_name_afterwards(
    managed: Path, tmp_path: Path
) -> None:
    """The desk has no file on the board; the next board needs no file on the desk."""
    first, second = await packed(tmp_path, "1.0.0"), await packed(tmp_path, "1.1.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        lines = [
            json.loads(line)
            for line in (await done(managed, "install", first, "--via", "store", "--json")).splitlines()
        ]
        assert (lines[0]["step"], lines[0]["percent"]) == ("send", 100)
        assert lines[-1]["end"] == "done"
        came = [line for line in lines if line.get("step") == "receive" and line["done_bytes"]]
        assert came[-1]["done_bytes"] == came[-1]["of_bytes"] == first.stat().st_size
        second = second.rename(second.with_name("desk.glb"))
        await done(managed, "update", second, "--via", "store")
        second.unlink()
        first.unlink()
        assert await counted(node) == ("1.1.0", 0)
        await done(managed, "uninstall", "counter")
        before = tree(managed)
        tried = await done(managed, "install", "counter", "--dry-run")
        assert tried.startswith("install counter 1.1.0 would take the steps receive, stage")
        assert "not checked" not in tried  # the store is at the site
        assert tree(managed) == before
        assert await done(managed, "install", "counter", "--to", "1.0.0") == "counter: install done 1.0.0\n"
        assert await done(managed, "update", "counter") == "counter: update done 1.0.0 -> 1.1.0\n"
        status, _, err = await gridlink(managed, "update", "counter", "--to", "9.9.9")
        assert (status, "there: 1.0.0, 1.1.0" in err) == (1, True)
        listed = json.loads(await done(managed, "store", "--json"))["bundles"]
        assert [(one["name"], one["version"], one["store"]) for one in listed] == [
            ("counter", "1.0.0", "gridlink"),
            ("counter", "1.1.0", "gridlink"),
        ]
        await done(managed, "store", "counter", "--to", "1.0.0", "--remove")
        status, _, err = await gridlink(managed, "update", "counter", "--to", "1.0.0", "--older")
        assert (status, "there: 1.1.0" in err) == (1, True)
        assert (await gridlink(managed, "store", "lamp", "--remove"))[0] == 1


async def test_without_a_store_it_is_said_what_to_do_and_a_path_of_this_machine_still_works(
    managed: Path, tmp_path: Path
) -> None:
    """A nats-server that was given to the node keeps nothing."""
    file = await packed(tmp_path, "1.0.0")
    configured = tmp_path / "nats-server.conf"
    configured.write_text(configuration("site", -1, str(tmp_path)))
    with Server(str(configured)) as server:
        async with running(managed, "--nats", server.url) as node:
            await node.all_running("lamp")
            status, _, err = await gridlink(managed, "install", file, "--via", "store")
            assert status == 1
            assert "no store that is reached from here" in err
            assert "copy the file to the machine" in err
            assert await done(managed, "install", file) == "counter: install done 1.0.0\n"


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_transfer_goes_on_after_the_node_was_killed_at_the_pace_of_the_site(
    managed: Path, tmp_path: Path
) -> None:
    """The command is still waiting, and what came before is not fetched again."""
    file = await packed_big(tmp_path)
    site(managed, SLOW)
    async with running(managed) as node:
        await node.all_running("lamp")
        await eventually(partial(has_store, managed), timeout_s=20)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(gridlink(managed, "install", file, "--via", "store", "--json"))
            began_s = time.monotonic()
            await eventually(lambda: received(managed) >= 2_000_000, timeout_s=30)
            os.kill(node.file["pids"]["node"], signal.SIGKILL)
        status, out, err = asked.result()
        assert status == 0, out + err
        assert time.monotonic() - began_s > (BIG_BYTES - SAVED_UP_BYTES) / SAVED_UP_BYTES
        lines = [json.loads(line) for line in out.splitlines()]
        again = [line["done_bytes"] for line in lines if line.get("step") == "receive" and line.get("done_bytes")]
        assert all(later > earlier for earlier, later in pairwise(again)), again
        assert again[-1] >= BIG_BYTES
        assert await counted(node) == ("1.0.0", 0)
        assert leftovers(managed) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_what_has_come_of_an_order_that_expired_is_kept_for_when_it_is_asked_again(
    managed: Path, tmp_path: Path
) -> None:
    """Over a thin link a bundle may take two nights."""
    file = await packed_big(tmp_path)
    site(managed, SLOW)
    async with running(managed) as node:
        await node.all_running("lamp")
        await eventually(partial(has_store, managed), timeout_s=20)
        status, _, err = await gridlink(managed, "install", file, "--via", "store", "--expires", "2.5")
        assert (status, "what has come is kept" in err) == (1, True), err
        kept = received(managed)
        assert kept > 0
        out = await done(managed, "install", file, "--via", "store", "--json")
        came = [step["done_bytes"] for step in map(json.loads, out.splitlines()) if step.get("step") == "receive"]
        assert min(filter(None, came)) > kept
        assert leftovers(managed) == []


async def test_a_site_that_is_not_there_yet_is_waited_for_until_the_command_expires(
    managed: Path, tmp_path: Path
) -> None:
    """Where nobody says for how long, a wrong name is told at once."""
    file = await packed(tmp_path, "1.0.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        status, _, err = await gridlink(managed, "--machine", "elsewhere", "install", file)
        assert (status, "no AppManager is running" in err) == (1, True)
        os.kill(node.file["pids"]["node"], signal.SIGSTOP)
        try:
            await eventually(partial(_gone, node), timeout_s=20)
            command = [PROGRAM, "-C", str(managed), "install", str(file), "--via", "path", "--expires", "40"]
            asked = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert asked.stderr is not None
            async with asyncio.timeout(20):
                said = await asked.stderr.readline()
            assert b"install counter waits: no AppManager is running" in said
        finally:
            with suppress(ProcessLookupError):  # its guardian has replaced it
                os.kill(node.file["pids"]["node"], signal.SIGCONT)
        printed, _ = await asked.communicate()
        assert (asked.returncode, printed) == (0, b"counter: install done 1.0.0\n")


async def _gone(node: Running) -> bool:
    return not node.registry.find(role="appmanager")
