"""The class that every module is derived from. Its annotations and decorators are its contract."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from gridlink.clock import SiteClock
from gridlink.contract import Topic, check_handlers
from gridlink.manifest import Manifest
from gridlink.module.sender import Sender
from gridlink.registry import Entry, Registry
from gridlink.tasks import Tasks

C = TypeVar("C")


def _plainly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module's class, and how to get a context in which its code finds its own libraries."""

    target: type[Module[Any]]
    context: Callable[[], Context] = copy_context
    call: Callable[..., Any] = _plainly  # calls a function in the bundle's name: what it imports is the bundle's


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A module to host in this interpreter: how to get its class, and where its files are."""

    manifest: Manifest
    load: Callable[[], Loaded]  # runs the author's code; raises ModuleInvalid, StartFailed
    directory: Path  # the bundle's
    data_dir: Path  # for the module's own files; made when missing
    mode: str
    config: Any = None  # the document to read instead of config.json
    managed_by: tuple[str, ...] = ()  # instances


class Hosting(Protocol):
    """What an AppManager or NodeManager needs of the node it lives in."""

    node: str
    site: str
    machine: str
    url: str  # of the bus; empty for the in-process one
    site_file: str  # the site's proxies, for the processes it starts; empty where there are none

    async def host(self, spec: HostSpec) -> Entry:
        """Starts an instance and returns its entry once it is RUNNING. Raises StartFailed, ModuleInvalid."""

    async def release(self, instance: str) -> None:
        """Stops an instance, if it runs, and takes its entry off the registry."""

    async def announce(self, entry: Entry) -> None:
        """Puts an entry of an instance that doesn't run into the registry: it failed, or waits."""


class ModuleClock:
    """Site time, as one module has it."""

    def __init__(self, clock: SiteClock, instance: str) -> None:
        self._clock, self._instance = clock, instance
        self.now, self.sleep, self.sleep_until = clock.now, clock.sleep, clock.sleep_until

    @property
    def speed(self) -> float:
        """Seconds of site time in a real second."""
        return self._clock.speed

    @property
    def leader(self) -> str:
        """The instance that leads the site's time; empty where it is the wall clock."""
        return self._clock.leader

    def lead(self, site_s: float, speed: float) -> None:
        """Sets the site's time (Unix seconds) and its speed (> 0) for all of its nodes."""
        self._clock.lead(site_s, speed, self._instance)


@dataclass(frozen=True, slots=True)
class Environment:
    """All that an instance is given by its node."""

    instance: str
    manifest: Manifest
    config: Any
    bus: Sender
    clock: ModuleClock
    registry: Registry
    tasks: Tasks
    log: logging.LoggerAdapter[logging.Logger]
    directory: Path
    data_dir: Path
    hosting: Hosting


class Module(Generic[C]):
    """A unit that is developed, installed and started: a class with handlers.

    `Module[Config]` names the frozen dataclass that `config.json` is read into, `Module[None]` none. The attributes
    below are there before `__init__`, which takes no arguments and may not block.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    publishes: ClassVar[tuple[Topic, ...]] = ()
    start_within_s: ClassVar[float] = 10.0  # real time; a start that takes longer has failed
    stop_within_s: ClassVar[float] = 5.0  # real time for handlers in flight, and again for `stop`

    config: C
    bus: Sender
    clock: ModuleClock
    registry: Registry
    tasks: Tasks
    log: logging.LoggerAdapter[logging.Logger]
    directory: Path  # the bundle's own: read it, don't write there
    data_dir: Path  # the module's durable files
    instance: str  # name@node
    hosting: Hosting

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_handlers(cls)

    def _attach(self, environment: Environment) -> None:
        self.config, self.bus, self.clock = environment.config, environment.bus, environment.clock
        self.registry, self.tasks, self.log = environment.registry, environment.tasks, environment.log
        self.data_dir, self.instance = environment.data_dir, environment.instance
        self.directory, self.hosting = environment.directory, environment.hosting

    async def start(self) -> None:
        """Prepares the module; it is RUNNING, and gets messages, when this returns."""

    async def stop(self) -> None:
        """Ends the module; it gets no more messages when this is called."""


def make(cls: type[Module[Any]], environment: Environment) -> Module[Any]:
    """An instance of the class, with its environment in place before its `__init__` runs."""
    module = cls.__new__(cls)
    module._attach(environment)
    cls.__init__(module)
    return module


def config_type(cls: type) -> Any:
    """The type that `config.json` is read into: the argument of `Module[…]`; None for no configuration."""
    for base in cls.__mro__:
        for origin in getattr(base, "__orig_bases__", ()):
            if typing.get_origin(origin) is Module:
                argument = typing.get_args(origin)[0]
                if not isinstance(argument, TypeVar):
                    return None if argument is type(None) else argument
    return None
