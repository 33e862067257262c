"""A node: one bus connection, one registry, and the instances that share them. An `async with` that ends in reverse.

The order of ending: instances (last started first), the registry's leave, the connection.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gridlink.bus.protocol import Bus
from gridlink.clock import SiteClock
from gridlink.config import typed
from gridlink.contract import Contract, Described, contract_of, describe
from gridlink.errors import ModuleInvalid, StartFailed
from gridlink.lifecycle import State
from gridlink.module.counters import Counters
from gridlink.module.instance import Instance
from gridlink.module.module import Environment, HostSpec, Loaded, ModuleClock, config_type
from gridlink.module.sender import Sender
from gridlink.module.steps import Tell, in_one_step
from gridlink.node import discovery
from gridlink.node.about import About
from gridlink.node.bundle import CONFIG, read_config
from gridlink.proxies import Around, Proxy, Retry, Tracing
from gridlink.registry import Entry, Registry
from gridlink.tasks import ContainedTasks

if TYPE_CHECKING:
    from gridlink.proxies.site import SiteFile

log = logging.getLogger("gridlink.node")


class Node:
    """Hosts instances on one bus. Keeps gridlink.module.Hosting for the managers among them."""

    def __init__(
        self, bus: Bus, machine: str, *, proxies: Sequence[Proxy] = (), site_file: SiteFile | None = None
    ) -> None:
        self.node, self.site = bus.node, bus.site
        self.url = bus.url
        self.bus, self.machine = bus, machine
        self.clock = SiteClock(self._lead_changed)
        self.registry = Registry(bus, machine, self.clock)
        self.instances: dict[str, Instance] = {}
        retry = Retry(self.registry.idempotent, bus.connected)
        self._proxies: tuple[Proxy, ...] = (*proxies, Tracing(), retry)
        self._site_file = site_file
        self.site_file = "" if site_file is None else str(site_file.path)
        bus.own_share = self.registry.own_share
        bus.on_reconnect = self.registry.rejoin
        self._about = About(self)
        self._started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.blocked: Mapping[str, str] = {}  # modules that blocked a former process of this node, and why not again
        self.on_step: Tell = _ignore  # told which module's code has the loop while it starts

    async def __aenter__(self) -> Node:
        await self.registry.__aenter__()
        await self._about.open()
        await self.bus.answer_all(discovery.SUBJECTS, self._discovered)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stops the instances in reverse, leaves the site and closes the bus. May be called twice."""
        self.bus.on_reconnect = None  # whoever leaves doesn't join again
        for name in reversed(list(self.instances)):
            await self.release(name)
        await self._about.aclose()
        await self.registry.aclose()
        await self.bus.aclose()

    async def host(self, spec: HostSpec) -> Entry:
        """See gridlink.module.Hosting."""
        name = f"{spec.manifest.name}@{self.node}"
        if name in self.instances:
            raise ModuleInvalid(f"{name} is hosted here already: names are unique on a node")
        if spec.manifest.name in self.blocked:
            raise ModuleInvalid(self.blocked[spec.manifest.name])
        try:
            loaded = in_one_step(self.on_step, name, spec.load)
            target, context = loaded.target, loaded.context()
            contract = context.run(contract_of, target)
            described = context.run(describe, contract)
            config = context.run(self._config, spec, target)
            entry = self._entry(spec, target, contract, described)
            await self.registry.put(entry, described.schemas)
            await self._start(spec, loaded, contract, config, context)
        except BaseException:
            await self.registry.drop(name)
            raise
        running = replace(entry, state=State.RUNNING)
        await self.registry.put(running)
        context.run(log.info, "%s is RUNNING", name)  # in its own name
        return running

    async def _start(self, spec: HostSpec, loaded: Loaded, contract: Contract, config: Any, context: Context) -> None:
        name, counters = f"{spec.manifest.name}@{self.node}", Counters()
        proxies = self._proxies_of(name, spec, loaded, contract, counters)
        sender = Sender(self.bus, name, proxies, contract.published, counters)
        environment = self._environment(name, spec, config, sender)
        instance = Instance(loaded.target, contract, environment, self.bus, proxies, counters, self.on_step, context)
        self.instances[name] = instance
        try:
            await instance.start()
        except BaseException:
            self.instances.pop(name, None)  # it may have been released meanwhile
            raise

    async def release(self, instance: str) -> None:
        """See gridlink.module.Hosting."""
        running = self.instances.get(instance)
        if running is not None:
            await self.registry.put_state(instance, State.STOPPING)
            await running.stop()
            self.instances.pop(instance, None)
            log.info("%s is STOPPED", instance)
        await self.registry.drop(instance)

    async def announce(self, entry: Entry) -> None:
        """See gridlink.module.Hosting."""
        await self.registry.put(entry)

    def _entry(self, spec: HostSpec, target: Any, contract: Contract, described: Described) -> Entry:
        name = spec.manifest.name
        return Entry(
            name=name,
            instance=f"{name}@{self.node}",
            node=self.node,
            machine=self.machine,
            pid=os.getpid(),
            version=spec.manifest.version,
            mode=spec.mode,
            state=State.STARTING,
            roles=contract.roles,
            idempotent=spec.manifest.idempotent,
            topics=tuple(contract.published),
            description=(target.__doc__ or "").strip().partition("\n")[0],
            requests=described.requests,
            publishes=described.publishes,
            subscribes=described.subscribes,
            managed_by=spec.managed_by,
        )

    def _config(self, spec: HostSpec, target: Any) -> Any:
        wanted = config_type(target)
        document = spec.config if spec.config is not None else read_config(spec.directory)
        where = str(spec.directory / CONFIG)
        if wanted is not None:
            return typed(document, wanted, where)
        if document:
            raise ModuleInvalid(f"{where}: {spec.manifest.name} takes no settings: remove {', '.join(document)}")
        return None

    def _proxies_of(
        self, name: str, spec: HostSpec, loaded: Loaded, contract: Contract, counters: Counters
    ) -> tuple[Proxy, ...]:
        if self._site_file is None:
            return self._proxies
        around = Around(
            site=self.site,
            instance=name,
            roles=contract.roles,
            refused=counters.count_refused,
            failed=counters.count_error,
            behind=self.registry.behind,
            knows=self.registry.knows,
        )
        return (*self._site_file.proxies(around, spec.directory, loaded.call), *self._proxies)

    def _environment(self, name: str, spec: HostSpec, config: Any, sender: Sender) -> Environment:
        try:
            spec.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartFailed(f"its directory {spec.data_dir} can't be made: {error}") from error
        return Environment(
            instance=name,
            manifest=spec.manifest,
            config=config,
            bus=sender,
            clock=ModuleClock(self.clock, name),
            registry=self.registry,
            tasks=ContainedTasks(name),
            log=logging.LoggerAdapter(logging.getLogger(f"module.{spec.manifest.name}")),
            directory=spec.directory,
            data_dir=spec.data_dir,
            hosting=self,
        )

    def _discovered(self, asked: str) -> list[bytes]:
        running = [
            discovery.Service(role, entry, self.instances[entry.instance].counters, self._started, self.registry.boot)
            for entry in self.registry.instances()
            if entry.instance in self.instances and entry.state is State.RUNNING
            for role in entry.roles
        ]
        return discovery.answers(asked, running, self.site)

    def _lead_changed(self) -> None:
        self.registry.lead_changed()


def _ignore(_: str) -> None:
    """Nobody needs to know."""
