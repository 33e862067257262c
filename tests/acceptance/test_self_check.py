"""A Python in which bundles can't be kept apart: what needs that runs in mode fork, and an operator sees why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.running import bundle, good, running
from tests.cli.conftest import run

HOOK = """
from importlib.machinery import PathFinder

found, find_spec = {}, PathFinder.find_spec

def remembered(name, path=None, target=None):
    if found.get(name) is None:
        found[name] = find_spec(name, path, target)
    return found[name]

PathFinder.find_spec = remembered
"""
"""Where a module lies is remembered by its name, as by tools that are to make imports faster."""
WHY = "the self-check's bundle 2 got the modules of another"


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python that is started from here has the hook."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))


@pytest.mark.usefixtures("hooked")
async def test_what_needs_names_of_its_own_is_forked_and_it_is_said_everywhere(tmp_path: Path) -> None:
    """The self-check fails in earnest in that node; what shares no name runs on in it."""
    managed = tmp_path / "managed"
    bundle(managed, "plain", good("plain"))
    for name in ("one", "two"):
        directory = bundle(managed, name, good(name))
        (directory / "lib" / "wired").mkdir(parents=True)
        (directory / "lib" / "wired" / "__init__.py").write_text("")
    async with running(managed) as node:
        entries = {entry.name: entry for entry in await node.all_running("plain", "one", "two")}
        assert {name: entry.mode for name, entry in entries.items()} == {"plain": "node", "one": "fork", "two": "fork"}
        for name in ("one", "two"):
            assert entries[name].reason == f"it can't live in a node: {WHY}"
            assert f"{name} runs in mode fork: {WHY}" in node.output()
            assert await node.sender.request(name, "ping", reply=str) == "pong"
        (manager,) = await node.all_running("appmanager")
        assert entries["plain"].pid == manager.pid
        shown = await asyncio.to_thread(run, "-C", managed, "show", "one")
        assert WHY in " ".join(shown.out.split())
        doctor = await asyncio.to_thread(run, "-C", managed, "doctor", "--json")
        checks = [(one["name"], one["status"], one["text"]) for one in doctor.document["checks"]]
        assert ("isolation", "warn", WHY) in checks
        for name in ("one", "two"):
            assert ("mode", "ok", f"{name} runs in mode fork: it can't live in a node: {WHY}") in checks


async def test_doctor_says_where_bundles_can_be_kept_apart(tmp_path: Path) -> None:
    """The same question, of a Python without the hook."""
    doctor = await asyncio.to_thread(run, "-C", tmp_path, "doctor", "--json")
    (isolation,) = [one for one in doctor.document["checks"] if one["name"] == "isolation"]
    assert (isolation["status"], isolation["advice"]) == ("ok", "")
