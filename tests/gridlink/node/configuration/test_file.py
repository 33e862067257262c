"""A running module notices its `config.json`, whoever wrote it and however, and takes it or refuses it whole."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gridlink import Module
from gridlink.errors import ConfigInvalid, NoSuchInstance, Refused
from gridlink.module.sender import Sender
from gridlink.testing import eventually
from tests.gridlink.node.configuration.bundles import INSTANCE, Config, Guard, make, running, stopped


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test says what the module refuses."""
    monkeypatch.setattr(Guard, "hook", None)
    monkeypatch.setattr(Guard, "unstartable", "")


class Plain(Module[None]):
    """Takes no settings."""


def in_place(file: Path, text: str) -> None:
    """As a shell's `>` does it."""
    file.write_text(text)


def renamed_over(file: Path, text: str) -> None:
    """As most editors do it."""
    beside = file.with_name("config.json.swp")
    beside.write_text(text)
    beside.replace(file)


def moved_away_first(file: Path, text: str) -> None:
    """As an editor that keeps a backup does it."""
    file.replace(file.with_name("config.json~"))
    file.write_text(text)


@pytest.mark.parametrize("write", [in_place, renamed_over, moved_away_first])
async def test_the_module_gets_what_was_written_however(tmp_path: Path, write: Any) -> None:
    """Twice in a row: a file that was replaced is looked at as the first one was."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        write(bundle.file, '{"upper_pu": 1.08}')
        await bundle.has(1.08)
        write(bundle.file, '{"upper_pu": 1.07}')
        await bundle.has(1.07)
        assert bundle.module.took == [(Config(1.1), Config(1.08)), (Config(1.08), Config(1.07))]
        await eventually(lambda: bundle.node.instances[INSTANCE].counters.configured == 2)
        assert (bundle.reason, bundle.accepted.read_text()) == ("", '{"upper_pu": 1.07}')


async def test_the_node_looks_by_itself_each_second(tmp_path: Path) -> None:
    """The other tests are in a hurry, and look themselves."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        bundle.write(upper_pu=1.08)
        await eventually(lambda: bundle.module.config.upper_pu == 1.08)


async def test_of_two_writes_in_a_moment_the_second_counts(tmp_path: Path) -> None:
    """Of the same size, and maybe at the same time of the file system's clock."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        for upper_pu in (1.08, 1.07, 1.06):
            bundle.write(upper_pu=upper_pu)
            bundle.looked()
        await bundle.has(1.06)
        assert bundle.module.took == [(Config(1.1), Config(1.06))]


async def test_a_half_written_file_is_waited_for(tmp_path: Path) -> None:
    """The half is never read, though it is there for longer than a look takes."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        text = '{"upper_pu": 1.08, "name": "other"}'
        with bundle.file.open("w") as file:
            for letter in text:
                file.write(letter)
                file.flush()
                bundle.looked()
                await asyncio.sleep(0.03)
        await bundle.has(1.08)
        assert bundle.node.instances[INSTANCE].counters.refused_configurations == 0
        assert len(bundle.module.took) == 1


async def test_a_new_directory_in_the_place_of_the_old_is_noticed(tmp_path: Path) -> None:
    """A watch on the old one would be looking at what was moved away."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        for number, upper_pu in enumerate((1.08, 1.07)):
            new = make(tmp_path / f"new{number}", upper_pu=upper_pu)
            bundle.directory.rename(tmp_path / f"old{number}")
            new.rename(bundle.directory)
            await bundle.has(upper_pu)
        bundle.write(upper_pu=1.06)
        await bundle.has(1.06)


async def test_the_file_of_another_version_is_that_versions_business(tmp_path: Path) -> None:
    """An update puts it there while the old version still runs."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        new = make(tmp_path / "new", "2.0.0", upper_pu=1.08)
        bundle.directory.rename(tmp_path / "old")
        new.rename(bundle.directory)
        await bundle.looked_at()
        assert (bundle.module.took, bundle.reason) == ([], "")


async def test_a_bundle_that_is_moved_away_takes_nothing_from_the_module(tmp_path: Path) -> None:
    """It runs on with what it has, until somebody stops it."""
    async with running(tmp_path, upper_pu=1.08) as bundle:
        bundle.directory.rename(tmp_path / "gone")
        await bundle.looked_at()
        assert (bundle.module.config, bundle.reason) == (Config(1.08), "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"upper_pu": "high"}', "Expected 'float', got 'str'"),
        ('{"upper_pu": 1.08, "lower_pu": 0.9}', "unknown setting 'lower_pu'"),
        ('{"upper_pu": 0.5}', "expected 1 or more, came 0.5"),
        ('{"upper_pu": 1.0', "expected JSON"),
        ("", "expected JSON"),
        ("[1]", "expected a JSON object"),
        (None, "is gone"),
    ],
)
async def test_what_does_not_fit_is_refused_and_the_old_values_stay(
    tmp_path: Path, text: str | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is in the registry, the log and the counters; the next good file is taken."""
    async with running(tmp_path, upper_pu=1.08) as bundle:
        if text is None:
            bundle.file.unlink()
        else:
            bundle.file.write_text(text)
        await bundle.refused(why)
        assert "the old values stay" in bundle.reason
        assert (bundle.module.took, bundle.module.config) == ([], Config(1.08))
        assert bundle.node.instances[INSTANCE].counters.refused_configurations == 1
        assert (why in caplog.text, bundle.accepted.read_text()) == (True, '{"upper_pu": 1.08}')
        bundle.write(upper_pu=1.07)
        await bundle.has(1.07)
        await bundle.content()


def refuses(old: Config, new: Config) -> None:
    """As a module does that reads it at its start."""
    raise Refused("only a restart takes that")


def fails(old: Config, new: Config) -> None:
    """A defect."""
    raise ZeroDivisionError("by zero")


def exits(old: Config, new: Config) -> None:
    """A worse one."""
    raise SystemExit(3)


async def never(old: Config, new: Config) -> None:
    """It waits for what never comes."""
    await asyncio.Event().wait()


async def stubborn(old: Config, new: Config) -> None:
    """It takes its cancellation for a hint."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (refuses, "only a restart takes that"),
        (fails, "ZeroDivisionError: by zero"),
        (exits, "sys.exit(3)"),
        (never, "did not return within 0.1 s"),
        (stubborn, "did not return within 0.1 s"),
    ],
)
async def test_what_the_hook_does_not_take_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Any, why: str
) -> None:
    """Whatever the author's code does; the module runs on, and goes back to healthy when its file does."""
    monkeypatch.setattr("gridlink.module.hooks.CONFIGURE_WITHIN_S", 0.1)
    async with running(tmp_path, upper_pu=1.08) as bundle:
        monkeypatch.setattr(Guard, "hook", hook)
        bundle.write(upper_pu=1.07)
        await bundle.refused(why)
        await asyncio.sleep(0.05)  # for one that goes on after its cancellation
        assert (bundle.module.config, bundle.accepted.read_text()) == (Config(1.08), '{"upper_pu": 1.08}')
        bundle.write(upper_pu=1.08)  # back: nothing to take, and nothing to complain of
        await bundle.content()
        assert bundle.node.instances[INSTANCE].counters.configured == 0


async def test_the_same_in_other_words_is_no_change(tmp_path: Path) -> None:
    """Spaces, the order of keys, a default that is spelled out."""
    async with running(tmp_path, upper_pu=1.1) as bundle:
        bundle.file.write_text('{\n  "name": "guard",\n  "upper_pu": 1.10\n}\n')
        await bundle.looked_at()
        assert bundle.module.took == []
        os.utime(bundle.file)
        await bundle.looked_at()
        assert bundle.node.instances[INSTANCE].counters.configured == 0


async def test_messages_are_answered_while_the_module_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the old value, until the hook has returned."""
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(old: Config, new: Config) -> None:
        began.set()
        await goes_on.wait()

    async with running(tmp_path, upper_pu=1.08) as bundle:
        monkeypatch.setattr(Guard, "hook", slow)
        bundle.write(upper_pu=1.07)
        taking = asyncio.get_running_loop().create_task(bundle.node.configurator.take(INSTANCE))
        async with asyncio.timeout(5):
            await began.wait()
        sender = Sender(bundle.node.bus, "test@test")
        assert await sender.request("guard", "limit") == 1.08
        goes_on.set()
        await taking
        assert bundle.module.config.upper_pu == 1.07


async def test_a_stop_meanwhile_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module goes, and its hook with it."""
    async with running(tmp_path, upper_pu=1.08) as bundle:
        began = asyncio.Event()

        async def slow(old: Config, new: Config) -> None:
            began.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Guard, "hook", slow)
        bundle.write(upper_pu=1.07)
        bundle.looked()
        async with asyncio.timeout(5):
            await began.wait()
            await bundle.stop()
        assert bundle.node.instances == {}


async def test_a_module_without_settings_says_so(tmp_path: Path) -> None:
    """Settings that nobody reads are a mistake."""
    async with stopped(tmp_path) as bundle:
        await bundle.start(Plain)
        bundle.write(upper_pu=1.07)
        await bundle.refused("takes no settings: remove upper_pu")


async def test_asked_to_take_it_now_it_says_what_is_wrong(tmp_path: Path) -> None:
    """For a command, which waits for the outcome."""
    async with running(tmp_path, upper_pu=1.08) as bundle:
        bundle.write(upper_pu=1.07)
        await bundle.node.configurator.take(INSTANCE)
        assert bundle.module.config.upper_pu == 1.07
        bundle.write(upper_pu=0.5)
        with pytest.raises(ConfigInvalid, match="expected 1 or more"):
            await bundle.node.configurator.take(INSTANCE)
        assert json.loads(bundle.accepted.read_text()) == {"upper_pu": 1.07}


async def test_its_node_is_asked_over_the_bus(tmp_path: Path) -> None:
    """By whoever has written the file, in another process."""
    async with running(tmp_path, upper_pu=1.08) as bundle:
        sender = Sender(bundle.node.bus, "test@test")
        bundle.write(upper_pu=1.07)
        await sender.request("_node@test", "configure", INSTANCE)
        assert bundle.module.config.upper_pu == 1.07
        bundle.write(upper_pu=0.5)
        with pytest.raises(ConfigInvalid, match="expected 1 or more"):
            await sender.request("_node@test", "configure", INSTANCE)
        with pytest.raises(NoSuchInstance):
            await sender.request("_node@test", "configure", "nobody@test")
        assert await sender.request("_node@test", "health", INSTANCE) == {"unhealthy": "", "busy": ""}
