"""A door whose site answers from memory, for the tests of this folder; and how they wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dashboard_interface.api import (
    Measurements,
    MeasurementsQuery,
    ModuleEntry,
    Sample,
    TapRequest,
    TapState,
)
from dashboard_interface.endpoints import Endpoints
from dashboard_interface.grid import GridView
from dashboard_interface.problem import ProblemError
from dashboard_interface.server import HttpServer
from dashboard_interface.sse import Hub

NOW_S = 1_700_000_000.0


@dataclass
class FakeSite:
    """Answers as storage, oltc and the registry would; `missing` roles answer 503."""

    missing: set[str] = field(default_factory=set)
    asked: list[Any] = field(default_factory=list)
    never: asyncio.Event | None = None
    entries: list[ModuleEntry] = field(default_factory=list)

    def now(self) -> float:
        """Site time stands still."""
        return NOW_S

    def modules(self) -> list[ModuleEntry]:
        """The entries that the test put in."""
        return self.entries

    async def measurements(self, query: MeasurementsQuery) -> Measurements:
        """One sample."""
        await self._ask("storage", query)
        return Measurements(query.dataPoint, "pu", [Sample(1.01, query.from_s)])

    async def tap(self) -> TapState:
        """Position 3."""
        await self._ask("oltc", None)
        return TapState(3, 3, -9, 9, False, 5, False)

    async def set_tap(self, wanted: TapRequest) -> TapState:
        """Goes there."""
        await self._ask("oltc", wanted)
        return TapState(3, wanted.position, -9, 9, True, 5, False)

    async def _ask(self, role: str, what: Any) -> None:
        if role in self.missing:
            raise ProblemError(503, expected=f"a module with role {role}", came="none", do=f"start {role}")
        self.asked.append(what)
        if self.never is not None:
            await self.never.wait()


@dataclass
class House:
    """All parts of a running door."""

    site: FakeSite
    view: GridView
    hub: Hub
    endpoints: Endpoints
    server: HttpServer

    @property
    def url(self) -> str:
        """Where the door is."""
        return f"http://127.0.0.1:{self.server.address[1]}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection to the door."""
        return await asyncio.open_connection(*self.server.address)

    async def raw(self, data: bytes) -> bytes:
        """All that the door answers to these bytes until it closes."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()


Start = Callable[..., Any]


async def until(condition: Callable[[], bool], deadline_s: float = 5) -> None:
    """Waits for a condition; raises TimeoutError past the deadline."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - any condition, of parts that signal nothing
            await asyncio.sleep(0.005)
