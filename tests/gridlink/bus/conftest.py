"""The two buses that keep the one contract, as one node and as two."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gridlink.bus.local import LocalBus
from gridlink.bus.nats import NatsBus
from gridlink.bus.protocol import Bus


@dataclass
class Ends:
    """Where receivers are, and where messages come from; with one node they are the same bus."""

    receiving: Bus
    sending: Bus


@pytest.fixture(params=["local", "nats, one node", "nats, two nodes"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    """Both ends of a bus."""
    if request.param == "local":
        local = LocalBus("n1", "test")
        yield Ends(local, local)
        await local.aclose()
        return
    url, site = request.getfixturevalue("shared_server").url, request.getfixturevalue("site")
    buses = [NatsBus(site, "n1")] if request.param == "nats, one node" else [NatsBus(site, "n1"), NatsBus(site, "n2")]
    for bus in buses:
        await bus.connect(url)
    yield Ends(buses[0], buses[-1])
    for bus in buses:
        await bus.aclose()
