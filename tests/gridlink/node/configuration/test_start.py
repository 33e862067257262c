"""A start takes what the file says, and what was taken last where that won't do: a refused file stops no start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridlink.errors import ConfigInvalid, StartFailed
from tests.gridlink.node.configuration.bundles import INSTANCE, Bundle, Config, Guard, running, stopped


@pytest.fixture(autouse=True)
def startable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't start under that name."""
    monkeypatch.setattr(Guard, "hook", None)
    monkeypatch.setattr(Guard, "unstartable", "nobody")


async def took(root: Path, **settings: object) -> None:
    """The module runs with these for a while, and ends."""
    async with running(root, **settings):
        pass


def spoil(bundle: Bundle, text: str | None) -> None:
    """The file is changed while nobody looks."""
    if text is None:
        bundle.file.unlink()
    else:
        bundle.file.write_text(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"upper_pu": "high"}', "Expected 'float'"),
        ("", "expected JSON"),
        (None, "is gone"),
        ('{"name": "nobody"}', "no start as nobody"),
    ],
)
async def test_with_a_file_that_will_not_do_it_starts_with_what_it_took_last(
    tmp_path: Path, text: str | None, why: str
) -> None:
    """And says so; also when it is started once more."""
    await took(tmp_path, upper_pu=1.08)
    for _ in range(2):
        async with stopped(tmp_path) as bundle:
            if bundle.file.exists():
                spoil(bundle, text)
            await bundle.start()
            assert bundle.module.config == Config(1.08)
            assert why in bundle.reason
            assert "it has what it took last" in bundle.reason
            assert bundle.accepted.read_text() == '{"upper_pu": 1.08}'


async def test_a_good_file_ends_that(tmp_path: Path) -> None:
    """While it runs, without another start."""
    await took(tmp_path, upper_pu=1.08)
    async with stopped(tmp_path) as bundle:
        spoil(bundle, "")
        await bundle.start()
        bundle.write(upper_pu=1.07)
        await bundle.has(1.07)
        await bundle.content()
        assert bundle.accepted.read_text() == '{"upper_pu": 1.07}'


async def test_what_was_changed_meanwhile_is_taken(tmp_path: Path) -> None:
    """And is what was taken last, from then on."""
    await took(tmp_path, upper_pu=1.08)
    async with stopped(tmp_path) as bundle:
        bundle.write(upper_pu=1.07)
        await bundle.start()
        assert (bundle.module.config, bundle.reason) == (Config(1.07), "")
        assert bundle.accepted.read_text() == '{"upper_pu": 1.07}'


async def test_the_first_start_has_nothing_to_fall_back_on(tmp_path: Path) -> None:
    """It fails, with the reason."""
    async with stopped(tmp_path, upper_pu=0.5) as bundle:
        with pytest.raises(ConfigInvalid, match="expected 1 or more"):
            await bundle.start()
        bundle.write(name="nobody")
        with pytest.raises(StartFailed, match="no start as nobody"):
            await bundle.start()
        assert not bundle.accepted.exists()
        assert bundle.node.registry.instances() == []


@pytest.mark.parametrize("kept", ["", "{", '{"upper_pu": 0.5}', '{"name": "nobody"}'])
async def test_what_is_kept_may_be_spoilt_too(tmp_path: Path, kept: str) -> None:
    """A power cut tears what it likes: then the start fails for what the file says."""
    await took(tmp_path, upper_pu=1.08)
    async with stopped(tmp_path) as bundle:
        spoil(bundle, '{"upper_pu": "high"}')
        bundle.accepted.write_text(kept)
        with pytest.raises((ConfigInvalid, StartFailed), match=r"Expected 'float'|no start as nobody"):
            await bundle.start()
        bundle.write(upper_pu=1.07)
        await bundle.start()
        assert bundle.accepted.read_text() == '{"upper_pu": 1.07}'


@pytest.mark.parametrize("kept", ["", "{", '{"lower_pu": 0.9}'])
async def test_what_is_kept_of_another_bundle_does_not_stop_one_without_a_file(tmp_path: Path, kept: str) -> None:
    """One of the same name lay here before, and was deleted by hand."""
    async with stopped(tmp_path) as bundle:
        bundle.file.unlink()
        bundle.accepted.parent.mkdir()
        bundle.accepted.write_text(kept)
        await bundle.start()
        assert (bundle.module.config, bundle.reason) == (Config(), "")


async def test_a_start_that_fails_for_another_reason_is_not_saved_by_it(tmp_path: Path) -> None:
    """Both are tried, the last error is told."""
    await took(tmp_path, upper_pu=1.08, name="nobody2")
    Guard.unstartable = "nobody2"
    async with stopped(tmp_path) as bundle:
        bundle.write(upper_pu=1.07, name="nobody2")
        with pytest.raises(StartFailed, match="no start as nobody2"):
            await bundle.start()
        assert bundle.node.instances == {}


async def test_a_disk_that_is_full_keeps_no_module_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it took can't be kept, which is said."""
    async with stopped(tmp_path, upper_pu=1.08) as bundle:
        bundle.accepted.parent.write_text("a file where the directory should be")
        await bundle.start()
        bundle.write(upper_pu=1.07)
        await bundle.has(1.07)
    assert "can't be kept" in caplog.text


async def test_without_a_place_to_keep_it_the_file_alone_counts(tmp_path: Path) -> None:
    """A module under test, or one joined by `gridlink run`."""
    async with stopped(tmp_path, upper_pu=1.08) as bundle:
        bundle.node.accepted = ""
        await bundle.start()
        bundle.write(upper_pu=1.07)
        await bundle.has(1.07)
        await bundle.stop()
        assert bundle.node.configurator._known.get(INSTANCE) is None
        spoil(bundle, "")
        with pytest.raises(ConfigInvalid, match="expected JSON"):
            await bundle.start()
