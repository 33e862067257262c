"""A bundle that the AppManager has hosted by a NodeManager: also by one that comes late, or goes meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appmanager import in_node
from appmanager.in_node import NodeChild
from gridlink import Module, testing
from gridlink.lifecycle import State
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.node.bundle import read_bundle
from gridlink.node.plan import Planned
from gridlink.testing import Site, eventually
from nodemanager import NodeManager
from tests.acceptance.running import bundle, good


class Manager(Module[None]):
    """Stands in for the AppManager."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A node with a manager and no NodeManager yet."""
    async with testing.site(tmp_path) as around:
        await around.host(Manager, name="appmanager")
        yield around


async def host(site: Site, name: str) -> None:
    """Starts a NodeManager as one that the manager has started."""
    manifest = Manifest(name=name, version="1.0.0", entry="nodemanager:NodeManager")
    place = site.directory / name
    spec = HostSpec(manifest, lambda: Loaded(NodeManager), place, place, "node", {}, managed_by=("appmanager@test",))
    await site.node.host(spec)


def child_of(site: Site, directory: Path) -> NodeChild:
    """The child for a bundle, running."""
    manager = site.node.instances["appmanager@test"]._module
    if manager is None:
        raise AssertionError("the manager doesn't run")
    manifest = read_bundle(directory).manifest
    child = NodeChild(manager, Planned(directory, manifest.name, manifest, "node"))
    child.task = manager.tasks.spawn(child.run(), name="child")
    return child


async def test_a_bundle_is_hosted_by_its_nodemanager_and_released(site: Site, tmp_path: Path) -> None:
    """The state is what the NodeManager says."""
    await host(site, "nodemanager")
    child = child_of(site, bundle(tmp_path, "in_a", good("in_a")))
    await child.settled.wait()
    assert str(child.state) == "RUNNING"
    assert await site.request("in_a", "ping") == "pong"
    await child.stop(5)
    assert str(child.state) == "STOPPED"
    assert "in_a@test" not in site.node.instances


async def test_a_nodemanager_that_comes_late_still_gets_its_modules(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FAILED while it is missing, said once; RUNNING when it has come: nobody has to act."""
    monkeypatch.setattr(in_node, "MANAGER_WITHIN_S", 0.05)
    child = child_of(site, bundle(tmp_path, "in_b", good("in_b"), into="late"))
    await child.settled.wait()
    assert (child.state, "no instance late is RUNNING" in child.reason) == (State.FAILED, True)
    await site.clock.sleep(0.15)  # a few more tries
    assert caplog.text.count("is FAILED") == 1
    await host(site, "late")
    await eventually(lambda: child.state is State.RUNNING)
    assert await site.request("in_b", "ping") == "pong"


async def test_a_nodemanager_that_is_replaced_gets_its_modules_again(site: Site, tmp_path: Path) -> None:
    """Its modules went with it."""
    await host(site, "nodemanager")
    child = child_of(site, bundle(tmp_path, "in_c", good("in_c")))
    await child.settled.wait()
    await site.node.release("nodemanager@test")
    assert "in_c@test" not in site.node.instances
    await host(site, "nodemanager")
    await eventually(lambda: child.state is State.RUNNING and "in_c@test" in site.node.instances)
    assert await site.request("in_c", "ping") == "pong"


async def test_stopping_a_child_whose_nodemanager_is_gone_is_fine(site: Site, tmp_path: Path) -> None:
    """It has taken its modules along."""
    await host(site, "nodemanager")
    child = child_of(site, bundle(tmp_path, "in_d", good("in_d")))
    await child.settled.wait()
    await site.node.release("nodemanager@test")
    await child.stop(5)
    assert child.state is State.STOPPED
