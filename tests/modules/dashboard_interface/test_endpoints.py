"""The endpoints through a real client over a real socket."""

import asyncio

import httpx
import jsonschema
import pytest

from dashboard_interface.api import (
    MeasurementsQuery,
    ModuleEntry,
    Power,
    TapChanged,
    TapRequest,
    Voltage,
    VoltageProblem,
)
from dashboard_interface.endpoints import ROUTES
from tests.modules.dashboard_interface.house import NOW_S, House, Start

TAP = "/api/tap"


def fill(house: House) -> None:
    """Gives the door a little of everything to show."""
    house.view.voltage(Voltage("bus_3", 1.02, NOW_S - 5))
    house.view.voltage(Voltage("bus_4", 0.97, NOW_S - 5))
    house.view.power(Power("bus_3", 12.5, 1.5, NOW_S - 5))
    house.view.crossed("underVoltage", VoltageProblem("bus_4", 0.97, 0.98, "operating", NOW_S - 5))
    house.view.stepped(TapChanged(2, 1, 7, NOW_S - 9))
    house.site.entries.append(
        ModuleEntry("storage@n1", "storage", "n1", "m1", "node", "1.0.0", "RUNNING", "", ["storage"], [])
    )


async def test_the_grid_shows_meters_extremes_tap_and_problems(start: Start) -> None:
    """What an operator looks at first."""
    house = await start()
    fill(house)
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get("/api/grid")
    grid = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert grid["siteTime_s"] == NOW_S
    assert grid["lowest"] == {"meter": "bus_4", "value_pu": 0.97}
    assert grid["highest"] == {"meter": "bus_3", "value_pu": 1.02}
    assert grid["meters"]["bus_3"]["active_kw"] == 12.5
    assert grid["tap"]["position"] == 2
    assert [each["kind"] for each in grid["problems"]] == ["underVoltage"]


async def test_every_answer_fits_the_schema_that_openapi_gives_it(start: Start) -> None:
    """The document is generated; this shows that the answers follow it too."""
    house = await start()
    fill(house)
    async with httpx.AsyncClient(base_url=house.url) as client:
        document = (await client.get("/openapi.json")).json()
        for route in ROUTES:
            if route.reply is None:
                continue
            path = route.path.replace("{dataPoint}", "bus_3.voltage_pu")
            body = {"position": 4} if route.body else None
            answer = await client.request(route.method, path, json=body)
            assert answer.status_code == 200, answer.text
            described = document["paths"][route.path][route.method.lower()]["responses"]["200"]["content"]
            schema = described[answer.headers["content-type"]]["schema"]
            jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


async def test_every_refusal_is_a_problem_document_that_fits_its_schema(start: Start) -> None:
    """Clients handle one kind of error, with the media type of RFC 9457."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        document = (await client.get("/openapi.json")).json()
        schema = document["components"]["responses"]["Problem"]["content"]["application/problem+json"]["schema"]
        for method, path, status in (
            ("GET", "/nowhere", 404),
            ("PUT", TAP, 405),
            ("GET", "/api/grid?x=1", 400),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
            assert answer.json()["status"] == status


async def test_a_wrong_method_is_told_the_right_ones(start: Start) -> None:
    """RFC 9110, 15.5.6: 405 comes with Allow."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.delete(TAP)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_head_has_the_headers_of_get_and_no_body(start: Start) -> None:
    """RFC 9110, 9.3.2; the connection stays usable after it."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        head, get = await client.head("/healthz"), await client.get("/healthz")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_measurements_are_asked_of_storage_for_the_last_day_by_default(start: Start) -> None:
    """The defaults are in site time, not in the machine's."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get("/api/measurements/bus_3.voltage_pu")
        await client.get("/api/measurements/bus_3.voltage_pu?from_s=5&to_s=6.5&limit=10")
    assert answer.json()["unit"] == "pu"
    assert house.site.asked == [
        MeasurementsQuery("bus_3.voltage_pu", NOW_S - 86400, NOW_S, 1000),
        MeasurementsQuery("bus_3.voltage_pu", 5.0, 6.5, 10),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=5001",
        "limit=x",
        "from_s=nan",
        "from_s=inf",
        "from_s=-1",
        "from_s=9&to_s=8",
        "limit=1&limit=2",
        "y=1",
    ],
)
async def test_unfit_parameters_are_refused_before_storage_is_asked(start: Start, query: str) -> None:
    """What would make storage read everything never reaches it."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get(f"/api/measurements/bus_3.voltage_pu?{query}")
    assert answer.status_code == 400
    assert house.site.asked == []


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "a%00b", "x" * 200])
async def test_a_data_point_is_a_plain_name(start: Start, name: str) -> None:
    """Storage may make a file or a query of it."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get(f"/api/measurements/{name}")
    assert answer.status_code == 400


@pytest.mark.parametrize(("path", "role"), [("/api/measurements/a", "storage"), (TAP, "oltc")])
async def test_a_missing_role_is_503_with_its_name(start: Start, path: str, role: str) -> None:
    """The door stays open when the rest of the site is not there."""
    house = await start()
    house.site.missing.add(role)
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get(path)
        grid = await client.get("/api/grid")
    assert answer.status_code == 503
    assert role in answer.json()["expected"]
    assert grid.status_code == 200


async def test_a_tap_position_is_handed_to_the_controller(start: Start) -> None:
    """The one request that changes something."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(TAP, json={"position": -2}, headers={"Origin": house.url})
    assert answer.json()["target"] == -2
    assert house.site.asked == [TapRequest(-2)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 422),
        (b'{"position": "3"}', 422),
        (b'{"position": 1.5}', 422),
        (b'{"position": 1e9}', 422),
        (b"{", 400),
    ],
)
async def test_an_unfit_body_is_refused(start: Start, body: bytes, status: int) -> None:
    """Nothing but a whole number within reason is a tap position."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(TAP, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert house.site.asked == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "application/json", "Origin": "null"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "application/json", "Host": "evil.example"}, 421),
        ({"Content-Type": "application/json", "Host": "127.0.0.1.evil.example"}, 421),
        ({"Content-Type": "application/json", "Host": "localhost:x"}, 421),
    ],
)
async def test_other_pages_in_the_browser_cannot_move_the_tap(
    start: Start, headers: dict[str, str], status: int
) -> None:
    """CSRF and DNS rebinding: a browser on this machine shows pages of others."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(TAP, content=b'{"position": 1}', headers=headers)
    assert answer.status_code == status
    assert house.site.asked == []


async def test_a_door_without_control_only_shows(start: Start) -> None:
    """`control: false` in the configuration."""
    house = await start()
    house.endpoints.control = False
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(TAP, json={"position": 1})
        shown = await client.get(TAP)
    assert (answer.status_code, shown.status_code) == (403, 200)
    assert house.site.asked == [None]


async def test_the_page_is_self_contained_and_not_sent_twice(start: Start) -> None:
    """No request leaves the machine for it, and a phone on a tunnel gets it once."""
    house = await start()
    async with httpx.AsyncClient(base_url=house.url) as client:
        page = await client.get("/")
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    policy = page.headers["content-security-policy"]
    assert "http://www.w3.org/2000/svg" in page.text
    assert page.text.count("http://") + page.text.count("https://") == 1  # the name space above, which is no address
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy
    assert (again.status_code, again.content) == (304, b"")


async def test_an_endpoint_that_does_not_answer_is_504_in_time(start: Start) -> None:
    """A role that hangs must not hold a connection."""
    house = await start(answer_timeout_s=0.05)
    house.site.never = asyncio.Event()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get(TAP)
    assert answer.status_code == 504
