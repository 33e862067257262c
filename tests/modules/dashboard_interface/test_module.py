"""The module on a site in this process: events in, HTTP out, and how it starts and ends."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dashboard_interface import DashboardInterface
from dashboard_interface.api import (
    Measurements,
    MeasurementsQuery,
    Power,
    TapChanged,
    TapRequest,
    TapState,
    Voltage,
    VoltageProblem,
)
from gridlink import Module, Refused, request, testing
from gridlink.errors import StartFailed
from gridlink.testing import Site


class Oltc(Module[None]):
    """A tap changer that does as it is told, up to position 9."""

    roles = ("oltc",)

    async def start(self) -> None:
        self.position = 3

    @request("getTapPosition")
    async def get(self) -> TapState:
        return TapState(self.position, self.position, -9, 9, False, 5, False)

    @request("setTapPosition")
    async def set(self, wanted: TapRequest) -> TapState:
        if abs(wanted.position) > 9:
            raise Refused("expected -9 to 9; ask for a position in that range")
        self.position = wanted.position
        return await self.get()


class Store(Module[None]):
    """A storage that knows nothing."""

    roles = ("storage",)

    @request("getMeasurements")
    async def get(self, query: MeasurementsQuery) -> Measurements:
        raise Refused(f"no data point {query.dataPoint}")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """An empty site."""
    async with testing.site() as empty:
        yield empty


async def dashboard(site: Site, **fields: Any) -> str:
    """Starts the module on a free port; returns its address."""
    await site.host(DashboardInterface, {"port": 0, **fields})
    return str((await status(site))["url"])


async def status(site: Site) -> Any:
    """What the module says of itself over the bus."""
    return await site.request("dashboard_interface", "status")


async def get(url: str, path: str) -> Any:
    """The JSON at a path."""
    async with httpx.AsyncClient(base_url=url) as client:
        return (await client.get(path)).json()


async def wait_for_tap(url: str, position: int) -> None:
    """Until /api/grid shows the position."""
    async with asyncio.timeout(5):
        while ((await get(url, "/api/grid"))["tap"] or {}).get("position") != position:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_the_site_publishes_is_what_http_shows(site: Site) -> None:
    """The whole way, with the contract's types, topics and names."""
    url = await dashboard(site)
    now_s = site.clock.now()
    await site.publish("measurement", "voltage", Voltage("bus_3", 1.11, now_s))
    await site.publish("measurement", "power", Power("bus_3", 7.5, 0.5, now_s))
    problem = VoltageProblem("bus_3", 1.11, 1.1, "en50160", now_s)
    await site.publish("voltage_problem", "overVoltage", problem)
    await site.publish("voltage_problem", "underVoltage", VoltageProblem("bus_4", 0.8, 0.9, "en50160", now_s))
    await site.publish("voltage_problem", "backToNormal", VoltageProblem("bus_4", 0.9, 0.9, "en50160", now_s))
    await site.publish("tap_position", "tapChanged", TapChanged(-2, -1, 6, now_s))
    await wait_for_tap(url, -2)
    grid = await get(url, "/api/grid")
    assert grid["meters"]["bus_3"]["voltage_pu"] == 1.11
    assert grid["meters"]["bus_3"]["active_kw"] == 7.5
    assert [(each["kind"], each["meter"]) for each in grid["problems"]] == [("overVoltage", "bus_3")]
    assert "dashboard_interface@test" in [each["instance"] for each in await get(url, "/api/modules")]


async def test_the_tap_position_is_known_though_no_step_was_seen(site: Site) -> None:
    """A dashboard that starts after the controller, and a controller that starts after the dashboard."""
    url = await dashboard(site)
    assert (await get(url, "/api/grid"))["tap"] is None
    await site.host(Oltc, name="oltc_controller")
    await wait_for_tap(url, 3)


async def test_a_tap_command_goes_all_the_way_and_a_refusal_comes_back_in_words(site: Site) -> None:
    """What the controller says is what the operator reads."""
    url = await dashboard(site)
    await site.host(Oltc, name="oltc_controller")
    async with httpx.AsyncClient(base_url=url) as client:
        done = await client.post("/api/tap", json={"position": 4})
        refused = await client.post("/api/tap", json={"position": 50})
    assert done.json()["position"] == 4
    assert refused.status_code == 409
    assert "expected -9 to 9" in refused.json()["came"]


async def test_missing_modules_are_503_and_unknown_data_points_404(site: Site) -> None:
    """The same request before and after storage came."""
    url = await dashboard(site)
    missing = await get(url, "/api/measurements/x")
    await site.host(Store, name="storage")
    unknown = await get(url, "/api/measurements/x")
    assert (missing["status"], unknown["status"]) == (503, 404)
    assert "storage" in missing["expected"]
    assert "no data point x" in unknown["came"]


async def test_the_stream_tells_voltages_problems_and_modules(site: Site) -> None:
    """What the page lives on; voltages at most twice a second though they come much faster."""
    url = await dashboard(site)
    loop = asyncio.get_running_loop()
    now_s = site.clock.now()
    voltages_s: list[float] = []

    async def publish() -> None:
        while len(voltages_s) < 4:
            await site.publish("measurement", "voltage", Voltage("bus_3", 1.0, now_s))
            await asyncio.sleep(0.005)
        await site.publish("voltage_problem", "overVoltage", VoltageProblem("bus_3", 1.2, 1.1, "en50160", now_s))
        await site.host(Store, name="storage")

    async def listen(lines: AsyncIterator[str]) -> None:
        wanted = {"problem", "module"}
        async for line in lines:
            name = line.removeprefix("event: ")
            if name == "voltage":
                voltages_s.append(loop.time())
            wanted.discard(name)
            if not wanted:
                return

    async with (
        asyncio.timeout(10),
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/api/events") as stream,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(publish())
        tasks.create_task(listen(stream.aiter_lines()))
    # The first two are the state at the start and the first change.
    assert voltages_s[3] - voltages_s[1] > 2 * 0.5 * 0.9


async def test_a_taken_port_is_said_in_the_log_and_in_status(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The operator must find the door."""
    with socket.create_server(("127.0.0.1", 0)) as other, caplog.at_level(logging.WARNING):
        port = other.getsockname()[1]
        url = await dashboard(site, port=port)
        told = await status(site)
    assert told["portWasTaken"]
    assert (told["portWanted"], told["port"] == port) == (port, False)
    assert f"port {port} is taken" in caplog.text
    assert url in caplog.text


async def test_a_stop_ends_streams_and_listener_in_bounded_time(site: Site) -> None:
    """A node's stop waits for this module; a browser's open stream must not hold it."""
    url = await dashboard(site)
    async with httpx.AsyncClient(base_url=url) as client, client.stream("GET", "/api/events") as stream:
        async with asyncio.timeout(3):
            await site.node.release("dashboard_interface@test")
            async for _ in stream.aiter_lines():
                pass
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")


async def test_a_start_that_fails_after_ours_leaves_no_listener(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node rolls a start back without calling `stop`: the port must be free again."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def broken(*_: object) -> None:
        raise ConnectionError("no bus")

    monkeypatch.setattr(site.node.bus, "serve", broken)
    with pytest.raises(StartFailed):
        await site.host(DashboardInterface, {"port": port})
    socket.create_server(("127.0.0.1", port)).close()


async def test_an_address_that_cannot_be_bound_is_refused_with_advice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port 80 without the right to it is the usual one."""

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dashboard_interface.server._listen", denied)
    with pytest.raises(StartFailed, match=r"expected an address that can be bound.*80.*above 1023"):
        await site.host(DashboardInterface, {"port": 80})


async def test_the_module_waits_for_nobody_at_its_start(site: Site) -> None:
    """It comes up in a site without storage, oltc or generator and says what it knows."""
    url = await dashboard(site)
    assert (await get(url, "/healthz")) == {"status": "ok", "measurementAge_s": None}
