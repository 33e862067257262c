"""The class that every module is derived from. Its annotations and decorators are its contract."""

from __future__ import annotations

import logging
import math
import time
import typing
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct

from gridlink.clock import SiteClock
from gridlink.contract import Topic, check_handlers, check_hooks
from gridlink.manifest import Manifest
from gridlink.module.counters import Counters
from gridlink.module.sender import Sender
from gridlink.registry import Entry, Registry
from gridlink.tasks import Tasks

if TYPE_CHECKING:
    from gridlink.bus.durable.topics import DurableTopics
    from gridlink.bus.raw import Raw
    from gridlink.module.warrants import Warrants

C = TypeVar("C")
HOOKS = ("start", "stop", "configure", "healthy", "busy", "snapshot", "restore")


def _plainly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


class Loaded(Struct, frozen=True):
    """A module's class, and how to get a context in which its code finds its own libraries."""

    target: type[Module[Any]]
    context: Callable[[], Context] = copy_context
    call: Callable[..., Any] = _plainly  # calls a function in the bundle's name: what it imports is the bundle's


class HostSpec(Struct, frozen=True):
    """A module to host in this interpreter: how to get its class, and where its files are."""

    manifest: Manifest
    load: Callable[[], Loaded]  # runs the author's code; raises ModuleInvalid, StartFailed
    directory: Path  # the bundle's
    data_dir: Path  # for the module's own files; made when missing
    mode: str
    config: Any = None  # the document to read instead of config.json
    managed_by: tuple[str, ...] = ()  # instances
    note: str = ""  # for who looks at it, e.g. why it doesn't run in the mode that was asked for
    follows: str = ""  # the instance that it takes over from: see gridlink.node.succession
    start_within_s: float = 0.0  # while that one waits; 0: as long as the module says
    hung: int = 0  # times that its node was replaced because it held the loop


class Hosting(Protocol):
    """What an AppManager or NodeManager needs of the node it lives in."""

    node: str
    site: str
    machine: str
    url: str  # of the bus; empty for the in-process one
    site_file: str  # the site's proxies, for the processes it starts; empty where there are none
    states: str  # where checkpoints of modules are kept; empty: nowhere
    checkpoint_s: float  # between two checkpoints of a module
    accepted: str  # where the configurations are kept that modules took last; empty: nowhere
    on_full: Callable[[str], None]  # told the instance whose handler has met the end of memory
    blocked: dict[str, str]  # modules that are not to be hosted here, and why; empty: they run elsewhere
    warrants: Warrants  # by which its orders, and those to it, are known
    tell_guardian: Callable[[str, str], None]  # a word and a text; also from the handler of a signal

    async def host(self, spec: HostSpec) -> Entry:
        """Starts an instance and returns its entry once it is RUNNING. Raises StartFailed, ModuleInvalid."""

    async def release(self, instance: str, within_s: float = math.inf) -> None:
        """Stops an instance, if it runs, in about `within_s` at most, and takes its entry off the registry."""

    async def sizes(self, instances: Iterable[str]) -> dict[str, int]:
        """The Python objects of instances here, in bytes, so far as they can be visited in a second each."""

    async def resume(self, instance: str) -> None:
        """Has an instance go on, of any node, that was held for a follower. Raises StartFailed, NoSuchInstance."""

    async def ask(self, instance: str, question: str, payload: Any) -> Any:
        """Asks the node of an instance, this or another one: `hold`, `health`, `configure`. Raises what it answers."""

    def raw(self) -> Raw:
        """The connection to the bus, for JetStream. Raises Refused where there is none: a local bus."""

    async def announce(self, entry: Entry) -> None:
        """Puts an entry of an instance that doesn't run into the registry: it failed, or waits."""

    def counters(self, instance: str) -> Counters | None:
        """What is counted of an instance here; None where it doesn't run."""

    async def configure(self, instance: str, document: Any) -> None:
        """Has an instance here take a configuration, and writes its config.json where it has one.

        Raises ConfigInvalid with the reason, and then nothing has changed; NoSuchInstance.
        """


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


class Environment(Struct, frozen=True):
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
    durable_topics: DurableTopics | None = None  # where the bundle declares some


class Module(Generic[C]):
    """A unit that is developed, installed and started: a class with handlers.

    `Module[Config]` names the frozen dataclass that `config.json` is read into, `Module[None]` none. The attributes
    below are there before `__init__`, which takes no arguments and may not block.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    publishes: ClassVar[tuple[Topic, ...]] = ()
    start_within_s: ClassVar[float] = 10.0  # real time; a start that takes longer has failed
    stop_within_s: ClassVar[float] = 5.0  # real time for handlers in flight, and again for `stop`; less if asked to

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
    _stop_by_s = math.inf
    _trust = "trusted"  # as its manifest says

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_handlers(cls)
        check_hooks(cls, HOOKS)

    def _attach(self, environment: Environment) -> None:
        self.config, self.bus, self.clock = environment.config, environment.bus, environment.clock
        self.registry, self.tasks, self.log = environment.registry, environment.tasks, environment.log
        self.data_dir, self.instance = environment.data_dir, environment.instance
        self.directory, self.hosting = environment.directory, environment.hosting
        self._trust = environment.manifest.trust

    async def start(self) -> None:
        """Prepares the module; it is RUNNING, and gets messages, when this returns."""

    async def stop(self) -> None:
        """Ends the module; it gets no more messages when this is called."""

    async def configure(self, old: C, new: C) -> None:
        """Takes other values while it runs; `self.config` has the new ones when this returns.

        Raise what says why not (`Refused`, ValueError) before anything is changed: the old values stay, and the reason
        is told. As it is here, it is for a module that reads `self.config` where it needs it.
        """

    async def healthy(self) -> bool | str:
        """Whether it does its work: True; or False, or why it doesn't. Raising says that as well."""
        return True

    async def busy(self) -> str | None:
        """Why it shouldn't be ended just now (a tap change is under way); None: it can be."""
        return None

    async def snapshot(self) -> Any:
        """What the next instance needs to go on from here: small, and JSON (a dataclass, say).

        It is called every half minute and before `stop`, between messages; the module goes on after it.
        """
        raise NotImplementedError  # it has no state to keep: who asks looks whether there is one

    async def restore(self, state: Any) -> None:
        """Takes over what a former instance's `snapshot` gave, as the type that `state` is annotated with.

        Called before `start`. If it or `start` raises, the module is started once more without the state.
        """

    def stop_left_s(self) -> float:
        """In `stop()`: the seconds that it still has before it is cancelled."""
        return max(0.0, self._stop_by_s - time.monotonic())


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
