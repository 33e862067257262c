"""Modules that the site doesn't trust never share a process with those that it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.running import bundle, good, running
from tests.acceptance.test_move import gridlink


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A module of each trust, and a NodeManager of its own for the untrusted."""
    directory = tmp_path / "managed"
    bundle(directory, "ours", good("ours"))
    bundle(directory, "guest", good("guest"), trust="untrusted")
    fence = {"name": "fence", "version": "1.0.0", "entry": "nodemanager:NodeManager", "mode": "process"}
    (directory / "fence").mkdir()
    (directory / "fence" / "module.json").write_text(json.dumps({**fence, "trust": "untrusted"}))
    return directory


async def test_an_untrusted_module_is_forked_and_moves_to_a_node_of_its_kind_alone(managed: Path) -> None:
    """The operator sees why, and is refused what would bring the two together."""
    async with running(managed) as node:
        entries = {entry.name: entry for entry in await node.all_running("ours", "guest", "fence", "appmanager")}
        assert (entries["guest"].mode, entries["ours"].mode) == ("fork", "node")
        why = "it is untrusted, and nodemanager hosts what is trusted: the two never share a process"
        assert entries["guest"].reason == why
        status, _, err = await gridlink(managed, "move", "guest", "--mode", "node")
        assert (status, err) == (1, f"gridlink: guest stays in mode fork: {why}\n")
        assert (await gridlink(managed, "move", "guest", "--into", "fence"))[0] == 0
        (entry,) = await node.all_running("guest")
        assert (entry.mode, entry.pid) == ("node", entries["fence"].pid)
        status, out, err = await gridlink(managed, "move", "ours", "--into", "fence")
        assert (status, out) == (1, "ours is RUNNING in mode fork\n")
        assert "it is trusted, and fence hosts what is untrusted" in err
        order = {"directory": str(managed / "ours"), "data_dir": str(managed / "x"), "managed_by": []}
        status, _, err = await gridlink(managed, "call", entries["fence"].instance, "host", json.dumps(order))
        assert (status, "from the AppManager and the nodes of its own guardian alone" in err) == (1, True)


async def test_where_the_site_says_so_it_is_refused(managed: Path) -> None:
    """At the start and at a move; `site.json` also says the mode of single modules."""
    hosting = {"untrusted": "refuse", "modes": {"ours": "fork"}}
    (managed / "site.json").write_text(json.dumps({"hosting": hosting}))
    async with running(managed) as node:
        entries = {entry.name: entry for entry in await node.all_running("ours", "fence", "appmanager")}
        assert entries["ours"].mode == "fork"
        state, reason = node.state("guest")
        assert state == "FAILED"
        assert "the two never share a process: run it in mode fork or process, or in a NodeManager that" in reason
        status, _, err = await gridlink(managed, "move", "guest", "--mode", "node")
        assert (status, "the two never share a process" in err) == (1, True)
        assert (await gridlink(managed, "move", "guest", "--mode", "process"))[0] == 0
        assert await node.sender.request("guest", "ping") == "pong"
        assert [entry.mode for entry in node.registry.instances() if entry.name == "guest"] == ["process"]
