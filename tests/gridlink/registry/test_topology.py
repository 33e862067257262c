"""When servers of a site come or go, nodes tell each other what they lack, and no more."""

from __future__ import annotations

from gridlink import address
from gridlink.codec import codec
from gridlink.registry.entry import KINDS, Sync
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Recorder
from tests.gridlink.registry.nodes import NewNode, names


async def test_when_servers_change_only_those_ask_who_lack_something(new_node: NewNode) -> None:
    """Each INFO of a server reaches every node: if all asked all, a large site would drown in announcements."""
    one, two, three = [await new_node(f"n{number}", f"m{number}") for number in (1, 2, 3)]
    await eventually(lambda: all(len(names(node)) == 3 for node in (one, two, three)))
    heard = Recorder()
    for kind in ("announce", "sync", "heartbeat"):
        await three.bus.subscribe(address.REGISTRY, kind, heard)
    del two.registry._view.nodes["n1"]  # as after a partition that lasted
    assert one.bus.on_topology is not None
    one.bus.on_topology()
    await eventually(lambda: names(two) == ["m1@n1", "m2@n2", "m3@n3"], timeout_s=0.9)
    assert [codec(KINDS[event.type]).decode(event.payload) for event in heard.events if event.type == "sync"] == [
        Sync("n2", "n1")
    ]
    assert not [event for event in heard.events if event.type == "announce"]
