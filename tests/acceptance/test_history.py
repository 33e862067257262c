"""The record of a real node: what nobody commanded is on it, and it is bounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appmanager.store.layout import Layout
from appmanager.store.record import BEGIN, REASON_CHARACTERS, Entry, sealed, spelled
from appmanager.store.segments import SEGMENT_BYTES, SEGMENTS
from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_hanging_modules import managed
from tests.acceptance.test_provisioning import done, gridlink
from tests.acceptance.test_signed_commands import recorded

__all__ = ["managed"]


async def moved(node: Running) -> dict[str, Any]:
    """The one entry of the record, once the module that hangs is in mode fork."""
    await eventually(lambda: [e for e in node.registry.find(name="hog") if e.mode == "fork"], timeout_s=15)
    return await only_entry(node.managed)


async def only_entry(directory: Path) -> dict[str, Any]:
    """The one entry of the record, once it is there."""
    record = Layout(directory).record
    await eventually(lambda: record.exists() and record.read_bytes().endswith(b"\n"), timeout_s=10)
    (entry,) = await recorded(directory)
    return entry


async def test_changes_go_on_though_the_record_is_damaged_and_history_says_so(tmp_path: Path) -> None:
    """An operator needs them most when a disk is failing; what was on record is kept, and said to be elsewhere."""
    directory = tmp_path / "managed"
    for name in ("lamp", "bulb", "fuse"):
        bundle(directory, name, good(name))
    record = Layout(directory).record
    async with running(directory) as node:
        await node.all_running("lamp", "bulb", "fuse")
        for word in ("stop", "start", "stop"):
            await done(directory, word, "fuse")
        first, second, third = record.read_bytes().splitlines(keepends=True)
        record.write_bytes(first + bytes(len(second) - 1) + b"\n" + third)
        status, out, err = await gridlink(directory, "history")
        assert (status, f"{record}:2 can't be read" in err) == (0, True), out + err
        await done(directory, "uninstall", "lamp")
        out = await done(directory, "history", "--verify")
        aside = directory / ".gridlink" / "damaged" / "record-1"
        assert f"done, it is {aside}" in out
        assert "verified: 2 entries" in out
        assert aside.read_bytes().splitlines(keepends=True)[::2] == [first, third]
        assert not node.registry.find(name="lamp")
        assert (await gridlink(directory, "history"))[2] == ""


async def test_a_move_by_the_watchdog_is_on_record_with_its_reason(managed: Path) -> None:
    """Who looks why a module runs in another mode than last week finds no operator who did it."""
    async with running(managed) as node:
        await node.all_running("hog", "innocent")
        for _ in range(3):
            with pytest.raises(GridlinkError, match="held the event loop"):
                await node.sender.request("hog", "hang", "sleep")
        entry = await moved(node)
        name = node.file["node"]
        assert (entry["kind"], entry["module"], entry["outcome"]) == ("move", "hog", "done")
        assert (entry["who"], entry["signed"]) == (f"watchdog of nodemanager@{name}", "")
        assert "held the event loop" in entry["reason"]


async def test_a_module_that_its_guardian_keeps_out_of_the_node_is_on_record(managed: Path) -> None:
    """What can't be interrupted costs the node; the next one puts on record what it was told."""
    async with running(managed) as node:
        await node.all_running("hog", "innocent")
        with pytest.raises(GridlinkError):
            await node.sender.request("hog", "hang", "long_c_call", timeout_s=1)
        entry = await moved(node)
        name = node.file["node"]
        assert (entry["kind"], entry["module"], entry["outcome"]) == ("move", "hog", "done")
        assert (entry["who"], entry["signed"]) == (f"guardian of {name}", "")
        assert "held the event loop" in entry["reason"]


async def test_a_record_that_is_full_goes_on_and_says_where_it_begins(tmp_path: Path) -> None:
    """As a board has it after years: the oldest file goes with the command for which there is no room."""
    directory = tmp_path / "managed"
    bundle(directory, "lamp", good("lamp"))
    path = Layout(directory).record
    path.parent.mkdir()
    first = _filled(path)
    async with running(directory) as node:
        await node.all_running("lamp")
        assert "chain begins" not in await done(directory, "history", "--verify")
        await done(directory, "stop", "lamp")
        shown = await done(directory, "history", "--verify")
        number, before = first["record.00000001"]
        assert f"the chain begins at entry {number}, whose `before` is {before}: the older ones were dropped" in shown
        assert len(list(path.parent.glob("record*"))) == SEGMENTS
        (oldest,) = [one for one in path.parent.glob("record.*") if one.name.endswith(f"{number:08d}")]
        oldest.unlink()
        status, _, error = await gridlink(directory, "history", "--verify")
        assert status == 1
        assert "somebody has taken files away" in error


def _filled(path: Path) -> dict[str, tuple[int, str]]:
    """Writes a record with no room in any file; by file, the number and `before` of the entry after its last."""
    one = Entry("", "update", "lamp", "done", digests={"to": "d"})
    last, number, after = BEGIN, 0, {}
    for _ in range(SEGMENTS):
        body, first, reason = b"", number + 1, "x" * REASON_CHARACTERS
        while True:
            whole = sealed(replace(one, id=f"c{number}", number=number + 1, before=last, reason=reason))
            line = spelled(whole)
            if len(body) + len(line) <= SEGMENT_BYTES:
                body, last, number = body + line, whole.hash, number + 1
            elif reason:
                reason = ""
            else:
                break
        path.with_name(f"record.{first:08d}").write_bytes(body)
        after[f"record.{first:08d}"] = number + 1, last
    path.with_name(f"record.{first:08d}").rename(path)
    return after
