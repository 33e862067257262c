"""A configuration by command: the module takes it first, then its file is written, whole and in its order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gridlink import testing
from gridlink.errors import ConfigInvalid, NoSuchInstance, Refused
from tests.gridlink.node.configuration.bundles import INSTANCE, NAME, Config, Guard, running


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test says what the module refuses."""
    monkeypatch.setattr(Guard, "hook", None)
    monkeypatch.setattr(Guard, "unstartable", "")


def files(directory: Path) -> list[str]:
    """What lies there."""
    return sorted(path.name for path in directory.iterdir())


async def test_the_module_has_it_and_the_file_says_it_in_its_order(tmp_path: Path) -> None:
    """Once: the look at the file that follows finds nothing new."""
    async with running(tmp_path, name="a", upper_pu=1.08) as bundle:
        await bundle.node.configure(INSTANCE, {"upper_pu": 1.07, "name": "a"})
        assert list(json.loads(bundle.file.read_text())) == ["name", "upper_pu"]
        assert bundle.file.read_bytes() == bundle.accepted.read_bytes()
        await bundle.looked_at()
        assert bundle.module.took == [(Config(1.08, "a"), Config(1.07, "a"))]
        assert files(bundle.directory) == ["config.json", "module.json"]


def refuses(old: Config, new: Config) -> None:
    """As a module does that reads it at its start."""
    raise Refused("only a restart takes that")


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"upper_pu": "high"}, "Expected 'float'"),
        ({"lower_pu": 1.0}, "unknown setting"),
        ({"upper_pu": 0.5}, "expected 1 or more"),
        ({"upper_pu": 1.06}, "only a restart takes that"),
        (["upper_pu"], "expected a JSON object"),
    ],
)
async def test_what_is_refused_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Any, why: str
) -> None:
    """Neither the module nor its file."""
    monkeypatch.setattr(Guard, "hook", refuses)
    async with running(tmp_path, upper_pu=1.08) as bundle:
        before = bundle.file.stat()
        with pytest.raises(ConfigInvalid, match=why):
            await bundle.node.configure(INSTANCE, document)
        assert bundle.file.stat() == before
        assert (bundle.module.config, bundle.reason) == (Config(1.08), "")
        assert files(bundle.directory) == ["config.json", "module.json"]


async def test_a_file_that_can_not_be_written_is_a_refusal(tmp_path: Path) -> None:
    """The module isn't even asked."""
    async with running(tmp_path, upper_pu=1.08) as bundle:
        (bundle.directory / ".config.json.new").mkdir()  # where it is written first
        with pytest.raises(ConfigInvalid, match="can't be written"):
            await bundle.node.configure(INSTANCE, {"upper_pu": 1.07})
        assert (bundle.module.took, json.loads(bundle.file.read_text())) == ([], {"upper_pu": 1.08})


async def test_a_module_whose_file_can_not_be_replaced_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the values already: it takes the old ones again."""
    async with running(tmp_path, upper_pu=1.08) as bundle:

        def taken_away(old: Config, new: Config) -> None:
            if new.upper_pu == 1.07:
                bundle.file.unlink()
                bundle.file.mkdir()

        monkeypatch.setattr(Guard, "hook", taken_away)
        with pytest.raises(ConfigInvalid, match="can't be written"):
            await bundle.node.configure(INSTANCE, {"upper_pu": 1.07})
        assert [new for _, new in bundle.module.took] == [Config(1.07), Config(1.08)]
        assert bundle.module.config == Config(1.08)
        assert files(bundle.directory) == ["config.json", "module.json"]


async def test_commands_and_writers_take_their_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many at once: the hook never runs twice at a time, and the file is what the module has in the end."""
    inside = 0

    async def slow(old: Config, new: Config) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0.01)
        inside -= 1

    monkeypatch.setattr(Guard, "hook", slow)
    async with running(tmp_path, upper_pu=1.0) as bundle:
        commands = [bundle.node.configure(INSTANCE, {"upper_pu": 1 + n / 100}) for n in range(1, 6)]
        await asyncio.gather(*commands, bundle.node.configurator.take(INSTANCE))
        assert bundle.node.instances[INSTANCE].counters.refused_configurations == 0
        assert json.loads(bundle.file.read_text()) == {"upper_pu": bundle.module.config.upper_pu}


async def test_a_cancelled_command_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller gave up while the module thought about it, which ends too."""
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(old: Config, new: Config) -> None:
        began.set()
        await goes_on.wait()

    monkeypatch.setattr(Guard, "hook", slow)
    async with running(tmp_path, upper_pu=1.08) as bundle:
        command = asyncio.get_running_loop().create_task(bundle.node.configure(INSTANCE, {"upper_pu": 1.07}))
        async with asyncio.timeout(5):
            await began.wait()
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
        assert files(bundle.directory) == ["config.json", "module.json"]
        assert json.loads(bundle.file.read_text()) == {"upper_pu": 1.08}
        goes_on.set()
        monkeypatch.setattr(Guard, "hook", None)
        await bundle.node.configure(INSTANCE, {"upper_pu": 1.06})
        assert bundle.module.took == [(Config(1.08), Config(1.06))]


async def test_a_module_under_test_is_configured_without_a_file() -> None:
    """gridlink.testing has none."""
    async with testing.site() as site:
        await site.host(Guard, {"upper_pu": 1.08}, NAME)
        await site.configure(NAME, {"upper_pu": 1.07})
        assert await site.request("guard", "limit") == 1.07
        with pytest.raises(ConfigInvalid, match="expected 1 or more"):
            await site.configure(NAME, {"upper_pu": 0.5})
        with pytest.raises(NoSuchInstance):
            await site.configure("nobody", {})
        with pytest.raises(ConfigInvalid, match="has no file to read"):
            await site.node.configurator.take(INSTANCE)
        assert site.counters(NAME).refused_configurations == 1
