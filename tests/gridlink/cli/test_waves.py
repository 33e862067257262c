"""What is printed of a command at several sites, and which key is used for which."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from appmanager.orders import Begun
from gridlink.cli.call import CallFailed
from gridlink.cli.options import Options
from gridlink.cli.rollout import Rollout
from gridlink.cli.session import own_key
from gridlink.cli.sites import rollout
from gridlink.cli.waves import Did, Teller, in_waves
from gridlink.config import Credentials
from gridlink.errors import NoSuchInstance, Refused, TrustInvalid


async def work(site: str, teller: Teller) -> Did:
    """Fails at b, and raises at c."""
    teller.steps("id", "update", "lamp").begun(Begun("id", "lamp", "update", "receive", 10))
    if site == "c":
        raise Refused("not\nhere")
    return Did(site != "b", f"update of lamp at {site}", ({"end": "done"},))


async def test_each_site_has_a_line_and_the_error_names_those_that_failed_and_the_untouched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An operator reads one screen, and knows where to go."""
    with pytest.raises(CallFailed, match="failed at 2 of 4 sites: b, c; nothing was begun at site4"):
        await in_waves(Rollout(("a", "b", "c", "site4"), 3, stop_on_failure=True), work, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == ["a      update of lamp at a", "b      update of lamp at b", "c      not here"]


async def test_what_no_one_expected_at_one_site_is_its_failure_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file that can't be read at the third of fifty sites cuts none of the others off, and the summary is there."""
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def breaks(site: str, teller: Teller) -> Did:
        if site == "a":
            await began.wait()
            goes_on.set()
            raise OSError(28, "No space left on device")
        began.set()
        await goes_on.wait()
        await asyncio.sleep(0)
        return Did(True, "done", ({"end": "done"},))

    with pytest.raises(CallFailed, match="failed at 1 of 2 sites: a"):
        await in_waves(Rollout(("a", "b"), 2), breaks, as_json=True)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert documents[0]["reason"] == "OSError: [Errno 28] No space left on device"
    assert documents[-1] == {"done": ["b"], "failed": ["a"], "untouched": []}


async def test_programs_get_a_line_of_json_for_each_step_each_site_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each says of which site it is; the last one sums up."""
    with pytest.raises(CallFailed):
        await in_waves(Rollout(("a", "c"), 1), work, as_json=True, nothing_at=["z"])
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.get("site") for one in documents] == ["a", "a", "c", "c", None]
    assert documents[0]["step"] == "receive"
    assert documents[3] == {"site": "c", "end": "failed", "reason": "not here"}
    assert documents[-1] == {"done": ["z", "a"], "failed": ["c"], "untouched": []}


async def test_with_a_directory_of_keys_the_sites_are_those_that_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site whose link is cut is meant too: it fails, and is named."""
    for name in ("west2", "west1", "east"):
        (tmp_path / f"{name}.nk").write_text("seed")
    monkeypatch.setenv("NATS_NKEY", str(tmp_path))
    found = await rollout(Options(site="west*", wave=5), harmless=False)
    assert (found.sites, found.size) == (("west1", "west2"), 5)
    assert (await rollout(Options(site="*"), harmless=False)).size == 1
    assert (await rollout(Options(site="*"), harmless=True)).size == 32
    with pytest.raises(NoSuchInstance, match="there are east, west1, west2"):
        await rollout(Options(site="north?"), harmless=False)


def test_the_key_of_a_site_is_the_one_that_bears_its_name(tmp_path: Path) -> None:
    """A control centre has one a site; a plain file is used as it is."""
    (tmp_path / "a.nk").write_text("seed")
    assert own_key(Credentials(nkey=str(tmp_path)), "a").nkey == str(tmp_path / "a.nk")
    assert own_key(Credentials(nkey=str(tmp_path / "a.nk")), "b").nkey == str(tmp_path / "a.nk")
    assert own_key(Credentials(), "a") == Credentials()
    with pytest.raises(TrustInvalid, match="no key for site b"):
        own_key(Credentials(nkey=str(tmp_path)), "b")
