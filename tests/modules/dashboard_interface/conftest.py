"""The fixture `start`: doors on real sockets, closed after each test."""

import logging
from collections.abc import AsyncIterator

import pytest

from dashboard_interface.connection import Limits
from dashboard_interface.door import Door
from dashboard_interface.endpoints import Endpoints
from dashboard_interface.grid import GridView
from dashboard_interface.server import HttpServer, bind
from dashboard_interface.sse import Hub
from tests.modules.dashboard_interface.house import FakeSite, House, Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a door with the limits given."""
    servers: list[HttpServer] = []

    async def begin(
        *, max_connections: int = 32, max_streams: int = 4, answer_timeout_s: float = 5, **limits: float
    ) -> House:
        site, view, hub = FakeSite(), GridView(900), Hub(max_streams)
        endpoints = Endpoints(view, hub, site)
        door = Door(endpoints, logging.getLogger("test"), answer_timeout_s=answer_timeout_s)
        sock, _ = bind("127.0.0.1", 0)
        server = HttpServer(sock, door, hub, Limits(**limits), max_connections=max_connections)  # type: ignore[arg-type]
        servers.append(server)
        await server.start()
        return House(site, view, hub, endpoints, server)

    yield begin
    for server in servers:
        await server.aclose(grace_s=0.5)
