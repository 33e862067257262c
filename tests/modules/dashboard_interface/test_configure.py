"""The door takes another configuration while it runs."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboard_interface import DashboardInterface
from dashboard_interface.server import bind
from gridlink import testing
from gridlink.errors import ConfigInvalid
from gridlink.testing import Site, eventually
from tests.modules.voltage_problem_handler.site import open_site

NAME = "dashboard_interface"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A site with a door on a free port."""
    async with testing.site() as around:
        await around.host(DashboardInterface, {"port": 0}, NAME)
        yield around


async def door(site: Site) -> dict[str, Any]:
    """Where it is."""
    return dict(await site.request(NAME, "status"))


def a_free_port() -> int:
    """One that can be had now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_it_moves_to_another_port_and_open_pages_end(site: Site) -> None:
    """The old address answers no more; a page's stream ends, and its browser comes back."""
    before, port = await door(site), a_free_port()
    async with httpx.AsyncClient(base_url=before["url"]) as client, client.stream("GET", "/api/events") as stream:
        await site.configure(NAME, {"port": port})
        async for _ in stream.aiter_lines():
            pass
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")
    after = await door(site)
    assert (after["port"], after["portWasTaken"]) == (port, False)
    async with httpx.AsyncClient(base_url=after["url"]) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_what_is_no_matter_of_the_door_leaves_it_open(site: Site) -> None:
    """Nobody is thrown out for another age of measurements."""
    before = await door(site)
    async with httpx.AsyncClient(base_url=before["url"]) as client:
        assert (await client.get("/healthz")).status_code == 200
        await site.configure(NAME, {"port": 0, "stale_after_s": 60.0, "summary_every_s": 2.0})
        after = await door(site)
        assert (after["url"], after["connections"]) == (before["url"], 1)


async def test_an_address_that_can_not_be_had_leaves_the_old_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told."""
    before = await door(site)

    def denied(host: str, port: int) -> tuple[socket.socket, bool]:
        if port == 80:
            raise PermissionError(13, "Permission denied")
        return bind(host, port)

    monkeypatch.setattr("dashboard_interface.module.bind", denied)
    with pytest.raises(ConfigInvalid, match="Permission denied; choose a port above 1023"):
        await site.configure(NAME, {"port": 80})
    with pytest.raises(ConfigInvalid, match="expected a loopback address"):
        await site.configure(NAME, {"host": "0.0.0.0"})
    async with httpx.AsyncClient(base_url=(await door(site))["url"]) as client:
        assert (await client.get("/healthz")).status_code == 200
    assert before["portWanted"] == (await door(site))["portWanted"] == 0


async def test_problems_from_before_its_start_are_shown(tmp_path: Path) -> None:
    """The guard reports a crossing once: whoever comes later asks."""
    async with open_site(tmp_path) as site:
        await site.start("voltage_guard")
        await site.tell("measurement", "voltage", {"meter": "bus_3", "value_pu": 1.07, "timestamp_s": 5.0})

        async def known() -> bool:
            return bool((await site.ask("voltage_guard", "status"))["problems"])

        await eventually(known)
        await site.start(NAME, port=0)
        url = (await site.ask(NAME, "status"))["url"]

        async def shown() -> list[dict[str, Any]]:
            async with httpx.AsyncClient(base_url=url) as client:
                found: list[dict[str, Any]] = (await client.get("/api/grid")).json()["problems"]
                return found

        (problem,) = await eventually(shown)
    assert (problem["kind"], problem["meter"], problem["limit"]) == ("overVoltage", "bus_3", "operating")
    assert (problem["value_pu"], problem["since_s"]) == (1.07, 5.0)
