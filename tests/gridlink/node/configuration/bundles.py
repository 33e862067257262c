"""A bundle with a `config.json` on a node that keeps what was accepted, for the tests of configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gridlink import Module, Refused, request, testing
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.node import Node
from gridlink.testing import eventually

NAME = "guard"
INSTANCE = f"{NAME}@test"


@dataclass(frozen=True)
class Config:
    """What it can be told."""

    upper_pu: float = 1.1
    name: str = "guard"

    def __post_init__(self) -> None:
        if self.upper_pu < 1:
            raise ValueError(f"upper_pu: expected 1 or more, came {self.upper_pu}")


class Guard(Module[Config]):
    """Notes what it is told, refuses some of it, and does not start with some of it."""

    roles = ("guard",)
    hook: ClassVar[Callable[[Config, Config], Any] | None] = None
    unstartable: ClassVar[str] = ""

    def __init__(self) -> None:
        self.took: list[tuple[Config, Config]] = []

    async def start(self) -> None:
        if self.config.name == self.unstartable:
            raise Refused(f"no start as {self.config.name}")

    async def configure(self, old: Config, new: Config) -> None:
        if Guard.hook is not None:
            answer = Guard.hook(old, new)
            if asyncio.iscoroutine(answer):
                await answer
        self.took.append((old, new))

    @request("limit")
    async def limit(self) -> float:
        return self.config.upper_pu


class Bundle:
    """The bundle's directory, and the node that runs it."""

    def __init__(self, node: Node, directory: Path) -> None:
        self.node, self.directory = node, directory
        self.file = directory / "config.json"

    @property
    def module(self) -> Guard:
        """The running module itself."""
        found = self.node.instances[INSTANCE]._module
        assert isinstance(found, Guard)
        return found

    @property
    def accepted(self) -> Path:
        """Where its node keeps what it took last."""
        return Path(self.node.accepted) / f"{NAME}.json"

    @property
    def reason(self) -> str:
        """What everybody reads of it in the registry."""
        return self.node.registry.find(instance=INSTANCE)[0].reason

    async def start(self, target: type[Module[Any]] = Guard) -> None:
        """Starts it, as its files say."""
        manifest = Manifest(name=NAME, version="1.0.0", entry="guard:Guard")
        data = self.directory.parent / "data"
        await self.node.host(HostSpec(manifest, lambda: Loaded(target), self.directory, data, "node"))

    async def stop(self) -> None:
        """Stops it."""
        await self.node.release(INSTANCE)

    def write(self, **settings: Any) -> None:
        """Writes the file in place."""
        self.file.write_text(json.dumps(settings))

    async def has(self, upper_pu: float) -> None:
        """Waits until the module has that limit."""
        await eventually(lambda: self.looked() and self.module.config.upper_pu == upper_pu)

    async def refused(self, why: str) -> None:
        """Waits until its reason says why."""
        await eventually(lambda: self.looked() and why in self.reason)

    async def content(self) -> None:
        """Waits until it has nothing to complain of."""
        await eventually(lambda: self.looked() and self.reason == "")

    async def looked_at(self) -> None:
        """Waits until the file's last change has been looked at."""
        _, configured = self.node.configurator._known[INSTANCE]
        self.looked()
        await eventually(lambda: configured.task is None)

    def looked(self) -> bool:
        """Looks at the file, as is done each second: a test is in a hurry."""
        self.node.configurator.look()
        return True


def make(directory: Path, version: str = "1.0.0", **settings: Any) -> Path:
    """Writes a bundle's files."""
    directory.mkdir(parents=True)
    manifest = {"name": NAME, "version": version, "entry": "guard:Guard"}
    (directory / "module.json").write_text(json.dumps(manifest))
    (directory / "config.json").write_text(json.dumps(settings))
    return directory


@asynccontextmanager
async def stopped(root: Path, **settings: Any) -> AsyncIterator[Bundle]:
    """A bundle that doesn't run yet."""
    async with testing.site(root) as site:
        site.node.accepted = str(root / "accepted")
        found = Bundle(site.node, root / NAME)
        if not found.directory.exists():
            make(found.directory, **settings)
        yield found


@asynccontextmanager
async def running(root: Path, **settings: Any) -> AsyncIterator[Bundle]:
    """A bundle that runs."""
    async with stopped(root, **settings) as found:
        await found.start()
        yield found
