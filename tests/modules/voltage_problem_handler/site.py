"""Runs delivered bundles, as their files say, on gridlink.testing's node; for the module tests of the use case."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gridlink import Module, testing
from gridlink.node.checkpoints import Keeper, States

BUNDLES = Path(__file__).parents[3] / "modules"


class Site:
    """A site of several bundles. Data directories are below the site's, and outlive an instance."""

    def __init__(self, site: testing.Site) -> None:
        self._site = site
        self.clock = site.clock

    async def start(self, name: str, **changed: Any) -> None:
        """Start a delivered bundle, with some fields of its configuration changed."""
        directory = BUNDLES / name
        package, _, cls = json.loads((directory / "module.json").read_text())["entry"].partition(":")
        config = {**json.loads((directory / "config.json").read_text()), **changed}
        await self._site.host(getattr(importlib.import_module(package), cls), config, name)

    async def run(self, target: type[Module[Any]], name: str) -> None:
        """Start a module that a test has written."""
        await self._site.host(target, name=name)

    async def stop(self, name: str) -> None:
        """Stop a bundle's instance."""
        await self._site.node.release(f"{name}@test")

    async def configure(self, name: str, config: dict[str, Any]) -> None:
        """Have a bundle's instance take another configuration."""
        await self._site.configure(name, config)

    def module(self, name: str) -> Any:
        """The running module itself, for its hooks."""
        return self._site.node.instances[f"{name}@test"]._module

    async def ask(self, role: str, type_: str, payload: Any = None) -> Any:
        """Ask a role as another module would."""
        return await self._site.request(role, type_, payload)

    async def tell(self, topic: str, type_: str, payload: Any) -> None:
        """Publish an event as another module would."""
        await self._site.publish(topic, type_, payload)


@asynccontextmanager
async def open_site(root: Path, *, states: bool = False) -> AsyncIterator[Site]:
    """A site without modules yet; what runs on it is stopped in reverse at the end. `states`: it keeps theirs."""
    async with testing.site(root) as site:
        if states:
            site.node.keeper = Keeper(States(root / "states"))
        yield Site(site)
