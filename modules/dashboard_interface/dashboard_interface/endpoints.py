"""The endpoints and their one table. They ask the site by the protocol Site; no bus or socket here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from dashboard_interface import openapi, page
from dashboard_interface.api import (
    Band,
    Grid,
    Health,
    Measurements,
    MeasurementsParameters,
    MeasurementsQuery,
    ModuleChange,
    ModuleEntry,
    ProblemChange,
    TapChanged,
    TapRequest,
    TapState,
    VoltageSummary,
)
from dashboard_interface.grid import GridView
from dashboard_interface.problem import ProblemError
from dashboard_interface.response import (
    EVENTS,
    HTML,
    JSON,
    EventStream,
    Response,
    json_text,
    of_document,
    of_json,
)
from dashboard_interface.route import Call, Route
from dashboard_interface.sse import Hub, frame

VERSION = "1.0.0"
DAY_S = 86400.0


class Site(Protocol):
    """What the endpoints ask of the site. Those that ask raise ProblemError, 503 where nobody serves."""

    def now(self) -> float:
        """Site time in Unix seconds."""

    def modules(self) -> list[ModuleEntry]:
        """The registry's entries."""

    async def measurements(self, query: MeasurementsQuery) -> Measurements:
        """Asks role storage."""

    async def tap(self) -> TapState:
        """Asks role oltc where the tap changer is."""

    async def set_tap(self, wanted: TapRequest) -> TapState:
        """Asks role oltc to move the tap changer."""


@dataclass
class Endpoints:
    """The state that the endpoints show, and whom they ask."""

    view: GridView
    hub: Hub
    site: Site
    control: bool = True

    async def page(self, call: Call) -> Response:
        """GET /"""
        text, policy = self._page
        return of_document(text, HTML, call.request.headers, (("Content-Security-Policy", policy),))

    async def grid(self, call: Call) -> Response:
        """GET /api/grid"""
        return of_json(self.view.read(self.site.now()))

    async def band(self, call: Call) -> Response:
        """GET /api/band"""
        return of_json(self.view.band.read())

    async def modules(self, call: Call) -> Response:
        """GET /api/modules"""
        return of_json(self.site.modules())

    async def measurements(self, call: Call) -> Response:
        """GET /api/measurements/{dataPoint}"""
        asked: MeasurementsParameters = call.parameters
        to_s = self.site.now() if asked.to_s is None else asked.to_s
        from_s = to_s - DAY_S if asked.from_s is None else asked.from_s
        if from_s > to_s:
            raise ProblemError(
                400,
                expected="from_s before to_s (default: now, site time)",
                came=f"from_s={from_s} to_s={to_s}",
                do="ask for an interval of site time",
            )
        return of_json(await self.site.measurements(MeasurementsQuery(asked.dataPoint, from_s, to_s, asked.limit)))

    async def events(self, call: Call) -> EventStream | Response:
        """GET /api/events"""
        if call.request.method == "HEAD":
            return Response(200, b"", EVENTS)
        if self.hub.full:
            raise ProblemError(
                503,
                expected="fewer clients of /api/events",
                came=f"{len(self.hub)} at a time",
                do="close a page, or raise max_streams in config.json",
                headers=(("Retry-After", "5"),),
            )
        client = self.hub.subscribe(call.request.headers.get("last-event-id"))
        client.state(frame("voltage", json_text(self.view.summary(self.site.now()))))
        return EventStream(client)

    async def tap(self, call: Call) -> Response:
        """GET /api/tap"""
        return of_json(await self.site.tap())

    async def set_tap(self, call: Call) -> Response:
        """POST /api/tap"""
        if not self.control:
            raise ProblemError(
                403,
                expected="a door that may control",
                came="control: false in config.json",
                do="ask the operator to set control to true",
            )
        return of_json(await self.site.set_tap(call.body))

    async def health(self, call: Call) -> Response:
        """GET /healthz"""
        return of_json(Health("ok", self.view.age_s(self.site.now())))

    async def openapi(self, call: Call) -> Response:
        """GET /openapi.json"""
        return of_document(self._openapi, JSON, call.request.headers)

    @cached_property
    def _page(self) -> tuple[bytes, str]:
        text = Path(__file__).with_name("page.html").read_bytes()
        return text, page.content_security_policy(text)

    @cached_property
    def _openapi(self) -> bytes:
        return json_text(openapi.document(ROUTES, VERSION))


_EVENTS = (
    ("voltage", VoltageSummary),
    ("problem", ProblemChange),
    ("tap", TapChanged),
    ("module", ModuleChange),
)
_ASKS = (503, 504)

ROUTES = (
    Route("GET", "/", "page", "The dashboard, for a browser", Endpoints.page, content_type=HTML),
    Route("GET", "/api/grid", "getGrid", "The latest state of the grid", Endpoints.grid, Grid),
    Route("GET", "/api/band", "getBand", "Lowest and highest voltage of 24 hours", Endpoints.band, Band),
    Route("GET", "/api/modules", "getModules", "The site's modules", Endpoints.modules, list[ModuleEntry]),
    Route(
        "GET",
        "/api/measurements/{dataPoint}",
        "getMeasurements",
        "Stored values of a data point, oldest first; without times the last 24 hours",
        Endpoints.measurements,
        Measurements,
        parameters=MeasurementsParameters,
        errors=(400, 409, *_ASKS),
    ),
    Route(
        "GET",
        "/api/events",
        "getEvents",
        "Server-sent events; after `resync` read /api/grid anew",
        Endpoints.events,
        content_type=EVENTS,
        events=_EVENTS,
        errors=(503,),
    ),
    Route("GET", "/api/tap", "getTap", "The tap changer's own answer", Endpoints.tap, TapState, errors=_ASKS),
    Route(
        "POST",
        "/api/tap",
        "setTap",
        "Asks for a tap position",
        Endpoints.set_tap,
        TapState,
        body=TapRequest,
        errors=(403, 409, 415, 422, *_ASKS),
    ),
    Route("GET", "/healthz", "getHealth", "Whether this module answers", Endpoints.health, Health),
    Route("GET", "/openapi.json", "getOpenapi", "This document", Endpoints.openapi, dict[str, Any]),
)
