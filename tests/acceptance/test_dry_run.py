"""`--dry-run` on a real node: refused is what the command refuses, in the same words, and nothing is changed."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appmanager.operated import TOPIC
from gridlink import address
from gridlink.bus.protocol import Answer
from gridlink.errors import GridlinkError, NoSuchInstance
from gridlink.message import Message
from gridlink.node.process import open_bus
from gridlink.testing import eventually
from tests.acceptance.running import LONG, bundle, good, running
from tests.acceptance.test_provisioning import done, gridlink, packed, source
from tests.acceptance.test_waves import tree
from tests.conftest import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
READER = good("reader")


class Heard:
    """Keeps gridlink.bus.Receiver: what is said on topic provisioning."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """Nobody asks it."""
        return NoSuchInstance("it takes events alone")

    def take_event(self, message: Message) -> None:
        """An event."""
        self.events.append(message.address)


async def made(directory: Path, name: str, code: str, *options: str, **manifest: Any) -> Path:
    """A packed bundle, in a directory of its own; `options` of pack."""
    made_of, file = bundle(directory / name, "reader", code, **manifest), directory / f"{name}.glb"
    await done(directory, "pack", made_of, "-o", file, *options)
    return file


def said(outcome: tuple[int, str, str]) -> tuple[int, str, str]:
    """Without how many MiB are free: that is another number the next moment."""
    return *outcome[:2], re.sub(r"\d+ MiB (are left|of this)", r"N MiB \1", outcome[2])


async def refusals(tmp_path: Path) -> dict[str, tuple[str | Path, ...]]:
    """Commands that are refused, by what the refusal says."""
    first, plain = await packed(tmp_path, "1.0.0"), await made(tmp_path, "plain", READER)
    damaged = tmp_path / "damaged.glb"
    with zipfile.ZipFile(plain) as packed_file:
        entry = packed_file.getinfo("reader/__init__.py")
    body = bytearray(plain.read_bytes())
    body[entry.header_offset + 60] ^= 0xFF
    damaged.write_bytes(body)
    other = source(tmp_path / "other", "1.2.0", "node")
    code = other / "counter" / "__init__.py"
    code.write_text(code.read_text().replace('"add"', '"plus"'))
    breaks = tmp_path / "breaks.glb"
    await done(tmp_path, "pack", other, "-o", breaks)
    wrong = partial(made, tmp_path)
    return {
        "older than 1.1.0": ("update", first),
        "it uses 'subtract' of role counter": (
            "install",
            await wrong("type", READER, uses={"role counter": ["subtract"]}),
        ),
        "which nobody serves": ("install", await wrong("role", READER, uses={"role nobody": ["ask"]})),
        "nothing_of_that_name": ("install", await wrong("imports", f"import nothing_of_that_name\n{READER}")),
        "MiB are left for it": ("install", await wrong("large", READER, resources={"memory_mib": 10_000_000})),
        "for linux-aarch64": (
            "install",
            await wrong(
                "arm",
                READER,
                "--platform",
                "linux-aarch64",
                "--python",
                "3.11",
                requires={"platform": ["linux-aarch64"]},
            ),
        ),
        "reader.glb: 'reader/__init__.py'": ("install", damaged),
        "the module takes no settings": ("install", plain, "--set", "voltage=3"),
        "user would break": ("update", breaks),
        "counter 1.1.0 is installed": ("install", await packed(tmp_path, "1.3.0")),
        "nosuch": ("configure", "counter", "nosuch=1"),
        "Expected 'int'": ("configure", "counter", "step=x"),
        "isn't kept here": ("rollback", "counter"),
        "runs this node": ("uninstall", "appmanager"),
        "isn't installed here": ("stop", "nothing"),
    }


async def test_a_dry_run_is_refused_for_what_the_command_is_refused_for_and_in_the_same_words(tmp_path: Path) -> None:
    """Else nobody could rely on it: an operator asks what would happen before the one try that counts."""
    managed = tmp_path / "managed"
    source(tmp_path / "made", "1.1.0", "node").rename(_in(managed) / "counter")
    bundle(managed, "user", good("user"), uses={"role counter": ["add"]})
    commands = await refusals(tmp_path)
    async with running(managed, *LONG) as node:
        await node.all_running("counter", "user")
        heard, bus = Heard(), await open_bus("site", "test-hears", node.file["url"])
        for type_ in ("step", "ended"):
            await bus.subscribe(address.topic(TOPIC), type_, heard)
        for why, words in commands.items():
            before = tree(managed)
            tried = await gridlink(managed, *words, "--dry-run")
            assert (tried[0], why in tried[2]) == (1, True), (words, tried)
            assert tree(managed) == before, words
            assert heard.events == [], words
            assert said(await gridlink(managed, *words)) == said(tried), words
            heard.events.clear()
        await bus.aclose()


async def test_a_dry_run_says_what_is_not_asked_and_who_would_miss_a_module(tmp_path: Path) -> None:
    """What it can't know is for the operator to know."""
    managed = tmp_path / "managed"
    source(tmp_path / "made", "1.0.0", "node").rename(_in(managed) / "counter")
    bundle(managed, "user", good("user"), uses={"role counter": ["add"]})
    second = await packed(tmp_path, "1.1.0")
    async with running(managed) as node:
        await node.all_running("counter", "user")
        before = tree(managed)
        out = await done(managed, "update", second, "--dry-run")
        assert out.startswith("update counter 1.0.0 -> 1.1.0 would take the steps receive, stage, preflight, snapshot")
        assert "configure()" in await done(managed, "configure", "counter", "step=2", "--dry-run")
        far = await done(managed, "update", second, "--via", "store", "--dry-run")
        assert "not checked, since its bundle isn't here" in far
        for word in ("stop", "kill", "uninstall"):
            lines = (await done(managed, word, "counter", "--dry-run", "--json")).splitlines()
            assert json.loads(lines[-1])["notes"] == ["nobody would serve role counter, which user uses"]
        assert tree(managed) == before
        await done(managed, "update", second)
        assert (await done(managed, "rollback", "counter", "--dry-run")).startswith("rollback counter 1.1.0 -> 1.0.0")
        assert json.loads((managed / "counter" / "module.json").read_text())["version"] == "1.1.0"


async def test_what_a_killed_dry_run_leaves_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """It may be a bundle of 100 MB."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    slow = bundle(tmp_path, "slow", f"import time\ntime.sleep(20)\n{good('slow')}")
    await done(tmp_path, "pack", slow, "-o", tmp_path / "slow.glb")
    left = managed / ".gridlink" / "dry_run"
    async with running(managed) as node:
        await node.all_running("lamp")
        trying = asked("-C", managed, "install", tmp_path / "slow.glb", "--dry-run")
        await eventually((left / "staged" / "slow").exists, timeout_s=10)
        node.process.kill()
        node.process.wait()
        trying.kill()
        trying.wait()
    assert left.exists()
    async with running(managed) as node:
        await node.all_running("lamp")
        assert not left.exists()


def asked(*words: str | Path) -> subprocess.Popen[bytes]:
    """A command that goes on."""
    return subprocess.Popen(command(*words))


def _in(managed: Path) -> Path:
    managed.mkdir(parents=True)
    return managed
