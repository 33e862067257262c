"""A node that runs the probe."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gridlink import testing
from gridlink.testing import Site
from tests.gridlink.module.probe import Probe


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A node that runs the probe."""
    async with testing.site() as around:
        await around.host(Probe, name="probe")
        yield around
        for running in around.node.instances.values():
            if isinstance(running._module, Probe):
                running._module.gate.set()
                running._module.thread_gate.set()
