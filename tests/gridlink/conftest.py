"""A real nats-server on a free port, and buses over it. Without the program: skipped on a laptop, failed in CI."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration, find_program
from gridlink.errors import ServerUnreachable


def require_nats_server() -> None:
    """Skips the test, or fails it in CI, where there is no nats-server."""
    try:
        find_program()
    except ServerUnreachable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def new_server(directory: Path, site: str = "test") -> Server:
    """A server that isn't started yet, on a port that it finds itself."""
    require_nats_server()
    directory.mkdir(exist_ok=True)
    file = directory / "nats-server.conf"
    file.write_text(configuration(site, -1, str(directory)))
    return Server(str(file))


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that don't harm it; each uses a site of its own."""
    with new_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    with new_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def site() -> str:
    """A site that no other test uses."""
    return f"t{secrets.token_hex(4)}"


NewBus = Callable[..., Awaitable[NatsBus]]


@pytest.fixture
async def nats_bus(shared_server: Server, site: str) -> AsyncIterator[NewBus]:
    """Makes connected buses of one site; they are closed at the end."""
    made: list[NatsBus] = []
    numbers = itertools.count(1)

    async def make(node: str = "", url: str = "") -> NatsBus:
        bus = NatsBus(site, node or f"n{next(numbers)}")
        made.append(bus)
        await bus.connect(url or shared_server.url)
        return bus

    yield make
    for bus in reversed(made):
        await bus.aclose()
