"""The NodeManager: hosts what it is asked for, keeps it running, and says what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gridlink import testing
from gridlink.errors import ConfigInvalid, ManifestInvalid, NoSuchInstance, NoSuchRole, Refused
from gridlink.lifecycle import State
from gridlink.testing import Site, eventually
from nodemanager import NodeManager
from tests.acceptance.running import bundle, good

FAILS = good("fails") + "\n    async def start(self) -> None:\n        raise ValueError('no meter')\n"
NEVER = {"restart": {"intensity": 0}}
ONCE = good("once") + (
    "\n    async def start(self) -> None:\n"
    "        marker = self.data_dir / 'tried'\n"
    "        if not marker.exists():\n"
    "            marker.touch()\n"
    "            raise ValueError('not yet')\n"
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A node that runs a NodeManager."""
    async with testing.site(tmp_path) as around:
        await around.host(NodeManager, name="nodemanager")
        yield around


def order(directory: Path, data: Path) -> dict[str, Any]:
    """What the AppManager asks."""
    return {"directory": str(directory), "data_dir": str(data / directory.name), "managed_by": ["appmanager@test"]}


async def host(site: Site, directory: Path) -> Any:
    """Has a bundle hosted; returns the answer."""
    return await site.request("nodemanager@test", "host", order(directory, site.directory / "data"), timeout_s=10)


def entry(site: Site, name: str) -> Any:
    """What the registry says of a module; None where it says nothing."""
    return next((e for e in site.node.registry.instances() if e.name == name), None)


async def test_a_bundle_is_hosted_and_answers(site: Site, tmp_path: Path) -> None:
    """The answer comes when it runs, and the registry says who manages it."""
    hosted = await host(site, bundle(tmp_path, "nm_good", good("nm_good")))
    assert hosted == {"name": "nm_good", "state": "RUNNING", "reason": "", "needs_process": ""}
    assert await site.request("nm_good", "ping") == "pong"
    assert entry(site, "nm_good").managed_by == ("appmanager@test", "nodemanager@test")
    assert await site.request("nodemanager@test", "list") == [hosted]


async def test_asked_twice_it_hosts_once_and_answers_twice(site: Site, tmp_path: Path) -> None:
    """An AppManager that was replaced asks again."""
    directory = bundle(tmp_path, "nm_twice", good("nm_twice"))
    first, second = await asyncio.gather(host(site, directory), host(site, directory))
    assert first == second
    assert len(await site.request("nodemanager@test", "list")) == 1


async def test_what_was_replaced_in_its_directory_is_ended_and_the_new_one_hosted(site: Site, tmp_path: Path) -> None:
    """An answer for the version before would make an update `done` whose code isn't there."""
    directory = bundle(tmp_path, "nm_new", good("nm_new"))
    await host(site, directory)
    code, manifest = directory / "nm_new" / "__init__.py", directory / "module.json"
    code.write_text(code.read_text().replace('"pong"', '"other"'))
    manifest.write_text(manifest.read_text().replace("1.0.0", "1.1.0"))
    assert (await host(site, directory))["state"] == "RUNNING"
    assert (await site.request("nm_new", "ping"), entry(site, "nm_new").version) == ("other", "1.1.0")


async def test_a_bundle_whose_name_is_taken_is_refused(site: Site, tmp_path: Path) -> None:
    """The one that is hosted lies elsewhere, and isn't this one."""
    await host(site, bundle(tmp_path, "nm_name", good("nm_name")))
    with pytest.raises(Refused, match=r"hosts nm_name of .* was asked for"):
        await host(site, bundle(tmp_path / "2", "nm_name", good("nm_name")))
    assert await site.request("nm_name", "ping") == "pong"


async def test_a_module_that_fails_to_start_is_failed_with_its_reason(site: Site, tmp_path: Path) -> None:
    """At once where its manifest forgives nothing; the registry shows it, the node runs on."""
    hosted = await host(site, bundle(tmp_path, "nm_fails", FAILS, **NEVER))
    assert hosted["state"] == "FAILED"
    assert "ValueError: no meter" in hosted["reason"]
    assert (entry(site, "nm_fails").state, entry(site, "nm_fails").pid) == (State.FAILED, 0)
    assert (await host(site, bundle(tmp_path, "nm_other", good("nm_other"))))["state"] == "RUNNING"


async def test_a_bundle_of_another_trust_is_refused(site: Site, tmp_path: Path) -> None:
    """Whatever its AppManager thinks: the two never share an interpreter."""
    with pytest.raises(Refused, match="is untrusted, and nodemanager@test hosts what is trusted"):
        await host(site, bundle(tmp_path, "nm_guest", good("nm_guest"), trust="untrusted"))
    assert await site.request("nodemanager@test", "list") == []


async def test_a_module_that_fails_once_is_tried_again(site: Site, tmp_path: Path) -> None:
    """The order is answered at the first failure; the next try succeeds."""
    hosted = await host(site, bundle(tmp_path, "nm_once", ONCE, restart={"backoff_s": [0.05, 1]}))
    assert hosted["state"] == "BACKOFF"
    await eventually(lambda: entry(site, "nm_once").state is State.RUNNING)
    assert await site.request("once", "ping") == "pong"


async def test_a_data_directory_that_cannot_be_made_is_an_answer_and_no_hang(site: Site, tmp_path: Path) -> None:
    """A full or read-only disk: the order is answered, with the reason."""
    directory = bundle(tmp_path, "nm_disk", good("nm_disk"), **NEVER)
    (site.directory / "data").write_text("a file where a directory is to be")
    hosted = await host(site, directory)
    assert hosted["state"] == "FAILED"
    assert "data" in hosted["reason"]


async def test_a_directory_that_is_no_bundle_is_refused(site: Site, tmp_path: Path) -> None:
    """The asker gets the manifest's error."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestInvalid, match="no such file"):
        await host(site, tmp_path / "empty")


async def test_a_released_module_is_gone_and_can_come_again(site: Site, tmp_path: Path) -> None:
    """Its code is loaded anew: an update may have changed it."""
    directory = bundle(tmp_path, "nm_again", good("nm_again"))
    await host(site, directory)
    await site.request("nodemanager@test", "release", "nm_again")
    assert entry(site, "nm_again") is None
    with pytest.raises(NoSuchRole):
        await site.request("nm_again", "ping")
    code = directory / "nm_again" / "__init__.py"
    code.write_text(code.read_text().replace('"pong"', '"other"'))
    await host(site, directory)
    assert await site.request("nm_again", "ping") == "other"


async def test_releasing_what_it_does_not_host_is_refused_with_what_it_does(site: Site, tmp_path: Path) -> None:
    """An operator's misspelling."""
    with pytest.raises(NoSuchInstance, match="doesn't host x: it hosts nothing"):
        await site.request("nodemanager@test", "release", "x")
    await host(site, bundle(tmp_path, "nm_some", good("nm_some")))
    with pytest.raises(NoSuchInstance, match="it hosts nm_some"):
        await site.request("nodemanager@test", "release", "x")


async def test_a_module_that_waits_for_its_restart_can_be_released(site: Site, tmp_path: Path) -> None:
    """Its back-off ends, its entry goes."""
    await host(site, bundle(tmp_path, "nm_wait", FAILS, restart={"backoff_s": [30, 30]}))
    assert entry(site, "nm_wait").state is State.BACKOFF
    await site.request("nodemanager@test", "release", "nm_wait")
    assert entry(site, "nm_wait") is None


async def test_a_module_that_is_still_starting_can_be_released(site: Site, tmp_path: Path) -> None:
    """Nothing of it is left, and the order to host it is answered somehow."""
    hangs = (
        good("hangs") + "\n    async def start(self):\n        import asyncio\n        await asyncio.Event().wait()\n"
    )
    directory = bundle(tmp_path, "nm_hangs", good("hangs") + hangs)
    asking = asyncio.gather(host(site, directory))
    await eventually(lambda: entry(site, "nm_hangs"))
    await site.request("nodemanager@test", "release", "nm_hangs")
    assert entry(site, "nm_hangs") is None
    (answer,) = await asking
    assert answer == {"name": "nm_hangs", "state": "STOPPED", "reason": "", "needs_process": ""}
    assert [name for name in site.node.instances if "nm_hangs" in name] == []


async def test_what_it_hosts_ends_with_it_in_reverse(site: Site, tmp_path: Path) -> None:
    """A NodeManager's stop stops its modules."""
    for name in ("nm_a", "nm_b"):
        await host(site, bundle(tmp_path, name, good(name)))
    await site.node.release("nodemanager@test")
    assert site.node.registry.instances() == []


async def test_the_bundles_of_its_own_directory_are_hosted(tmp_path: Path) -> None:
    """The paper's Figure 7: a NodeManager that brings its modules, in the order of their `uses`; a bad one is named."""
    managed = tmp_path / "managed"
    bundle(managed, "nm_first", good("nm_first"), uses={"role nm_second": ["ping"]})
    bundle(managed, "nm_second", good("nm_second"))
    bundle(managed, "nm_bad", good("nm_bad"), version="one")
    async with testing.site(tmp_path) as site:
        await site.host(NodeManager, name="nodemanager")
        await eventually(lambda: len(site.node.registry.find()) == 3)
        running = list(site.node.instances)
        assert running == ["nodemanager@test", "nm_second@test", "nm_first@test"]


def test_its_manifest_is_a_manifest() -> None:
    """It is an ordinary module: listed, asked, hosted like any other."""
    from gridlink.manifest import parse  # noqa: PLC0415

    for package in ("nodemanager", "appmanager"):
        file = Path(__file__).parents[2] / package / "module.json"
        assert parse(json.loads(file.read_text()), str(file)).name == package


async def test_other_settings_are_for_its_next_start(site: Site) -> None:
    """Taken silently, they would be held for those of a watchdog that hasn't got them."""
    with pytest.raises(ConfigInvalid, match="restart it"):
        await site.configure("nodemanager", {"watchdog": {"mode": "off"}})
