"""The module: events of the site into the view, changes out to clients; owns the listener and four tasks."""

import asyncio
from dataclasses import replace

from dashboard_interface.api import Power, ProblemChange, Status, TapChanged, Voltage, VoltageProblem
from dashboard_interface.config import Config
from dashboard_interface.connection import Limits
from dashboard_interface.door import Door
from dashboard_interface.endpoints import Endpoints
from dashboard_interface.gateway import BusSite
from dashboard_interface.grid import GridView
from dashboard_interface.module_list import changes
from dashboard_interface.problem import ProblemError
from dashboard_interface.response import json_text
from dashboard_interface.server import HttpServer, bind
from dashboard_interface.sse import Hub
from gridlink import ConfigInvalid, Module, request, subscribe

# Of the time an HTTP client waits, what a role has: the answer must still get out.
ROLE_SHARE = 0.8


class DashboardInterface(Module[Config]):
    """The one HTTP door of a site: REST and server-sent events on loopback."""

    roles = ("dashboard_interface",)

    async def start(self) -> None:
        """Listens when it returns. Raises ConfigInvalid where no port can be bound."""
        self._view = GridView(self.config.stale_after_s)
        self._hub = Hub(self.config.max_streams)
        self._dirty = asyncio.Event()
        await self._open(self.config)
        self.tasks.spawn(self._hold(), name="listener")
        self.tasks.spawn(self._ask_tap(), name="tap position")
        self.tasks.spawn(self._ask_problems(), name="open problems")
        self.tasks.spawn(self._summarise(), name="summaries")
        self.tasks.spawn(self._watch(), name="registry")

    async def stop(self) -> None:
        """Closes the listener, ends the streams; requests in work have two seconds."""
        await self._server.aclose(grace_s=2.0)

    async def configure(self, old: Config, new: Config) -> None:
        """Opens the door anew where it is another one: clients come back by themselves. Raises ConfigInvalid."""
        if replace(old, summary_every_s=new.summary_every_s, stale_after_s=new.stale_after_s) != new:
            await self._server.aclose(grace_s=1.0)
            try:
                await self._open(new)
            except ConfigInvalid:
                await self._open(old)
                raise
        self._view.stale_after_s, self._hub.limit = new.stale_after_s, new.max_streams

    @subscribe("measurement", "voltage")
    async def on_voltage(self, voltage: Voltage) -> None:
        """Keeps the meter's newest voltage."""
        self._view.voltage(voltage)
        self._dirty.set()

    @subscribe("measurement", "power")
    async def on_power(self, power: Power) -> None:
        """Keeps the meter's newest power."""
        self._view.power(power)

    @subscribe("voltage_problem", "overVoltage")
    async def on_over_voltage(self, problem: VoltageProblem) -> None:
        """Opens a problem."""
        self._tell(self._view.crossed("overVoltage", problem))

    @subscribe("voltage_problem", "underVoltage")
    async def on_under_voltage(self, problem: VoltageProblem) -> None:
        """Opens a problem."""
        self._tell(self._view.crossed("underVoltage", problem))

    @subscribe("voltage_problem", "backToNormal")
    async def on_back_to_normal(self, problem: VoltageProblem) -> None:
        """Closes a problem."""
        self._tell(self._view.normal(problem))

    @subscribe("tap_position", "tapChanged")
    async def on_tap_changed(self, tap: TapChanged) -> None:
        """Keeps and passes on the new position."""
        self._view.stepped(tap)
        self._hub.change("tap", json_text(tap))

    @request("status")
    async def status(self) -> Status:
        """Where the door is, whether its port was taken, and how it is used."""
        host, port = self._server.address
        return Status(
            url=_url(host, port),
            host=host,
            port=port,
            portWanted=self.config.port,
            portWasTaken=self._port_was_taken,
            connections=self._server.connections,
            streams=len(self._hub),
            requests=self._server.requests,
            refusedConnections=self._server.refused,
            droppedStreams=self._hub.dropped,
            ignoredEvents=self._view.ignored,
        )

    async def _open(self, config: Config) -> None:
        try:
            sock, taken = bind(config.host, config.port)
        except OSError as error:
            raise ConfigInvalid(
                f"host and port: expected an address that can be bound, came {config.host} {config.port}: "
                f"{error.strerror}; choose a port above 1023 on 127.0.0.1"
            ) from error
        self._port_was_taken = taken
        self._site = BusSite(self.bus, self.registry, self.clock, config.answer_timeout_s * ROLE_SHARE)
        door = Door(
            Endpoints(self._view, self._hub, self._site, config.control),
            self.log,
            allowed_hosts=config.allowed_hosts,
            answer_timeout_s=config.answer_timeout_s,
        )
        limits = Limits(
            max_header_bytes=config.max_header_bytes,
            max_body_bytes=config.max_body_bytes,
            request_timeout_s=config.request_timeout_s,
            keep_alive_s=config.keep_alive_s,
            send_timeout_s=config.send_timeout_s,
            comment_every_s=config.comment_every_s,
        )
        self._server = HttpServer(sock, door, self._hub, limits, max_connections=config.max_connections)
        await self._server.start()
        url = _url(*self._server.address)
        if taken:
            self.log.warning("port %s is taken: the dashboard is at %s instead", config.port, url)
        else:
            self.log.info("the dashboard is at %s", url)

    def _tell(self, change: ProblemChange | None) -> None:
        if change is not None:
            self._hub.change("problem", json_text(change))

    async def _summarise(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if len(self._hub):
                self._hub.state("voltage", json_text(self._view.summary(self.clock.now())))
            await asyncio.sleep(self.config.summary_every_s)  # real time: it is for people's eyes

    async def _hold(self) -> None:
        """Closes the listener with the tasks: `stop` is not called where the start fails after our part of it."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._server.aclose(grace_s=0.0)

    async def _watch(self) -> None:
        known = {entry.instance: entry for entry in self._site.modules()}
        async for _ in self.registry.watch():
            now = {entry.instance: entry for entry in self._site.modules()}
            found = changes(known, now)
            known = now
            for change in found:
                self._hub.change("module", json_text(change))
            if any("oltc" in now[each.instance].roles for each in found if each.state == "RUNNING"):
                await self._ask_tap()
            if any("voltage_guard" in now[each.instance].roles for each in found if each.state == "RUNNING"):
                await self._ask_problems()

    async def _ask_tap(self) -> None:
        """The position from before our start; where nobody knows, it comes with the first step."""
        try:
            state = await self._site.tap()
        except ProblemError as error:
            self.log.debug("the tap position is not known yet: %s", error)
            return
        news = self._view.asked(state, self.clock.now())
        if news is not None:
            self._hub.change("tap", json_text(news))

    async def _ask_problems(self) -> None:
        """The problems from before our start: the guard reports each once."""
        try:
            status = await self._site.problems()
        except ProblemError as error:
            self.log.debug("open problems are not known yet: %s", error)
            return
        for change in self._view.guarded(status.problems):
            self._tell(change)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
