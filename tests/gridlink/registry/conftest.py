"""Nodes of one site, over a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gridlink.node import Node
from tests.gridlink.conftest import NewBus
from tests.gridlink.registry.nodes import NewNode, host


@pytest.fixture
async def new_node(nats_bus: NewBus, tmp_path: Path) -> AsyncIterator[NewNode]:
    """Makes nodes of one site, each with the modules named."""
    async with AsyncExitStack() as stack:

        async def make(name: str, *modules: str) -> Node:
            node = await stack.enter_async_context(Node(await nats_bus(name), f"machine-{name}"))
            for module in modules:
                await host(node, module, tmp_path)
            return node

        yield make
