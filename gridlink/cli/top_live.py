"""The live picture of `gridlink top`: drawn at each look and at each key, until q."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from rich.console import Console, RenderableType
from rich.live import Live

from gridlink.cli.session import Session
from gridlink.cli.top_keys import END_OF_INPUT, keys
from gridlink.cli.top_model import ModuleRow, ProcessRow, states
from gridlink.cli.top_render import render
from gridlink.tasks import Tasks

BY_KEY = {"c": "cpu", "m": "memory", "p": "p99", "l": "longest", "s": "messages", "e": "errors", "f": "flash"}
BY_KEY |= {"n": "name", "P": "cpu", "M": "memory", "T": "longest", "N": "name"}  # and those of htop


class Screen:
    """What is shown, and how: looks and keys change it."""

    def __init__(self, sort: str) -> None:
        self.sort, self.inverted = sort, False
        self.modules: list[ModuleRow] = []
        self.processes: list[ProcessRow] = []
        self.ended = False
        self.changed = asyncio.Event()

    def pressed(self, key: str) -> None:
        """Takes a key; one that means nothing changes nothing."""
        if key in ("q", END_OF_INPUT):
            self.ended = True
        elif key in ("i", "I"):
            self.inverted = not self.inverted
        else:
            self.sort = BY_KEY.get(key, self.sort)
        self.changed.set()

    async def follow(self, looks: AsyncIterator[tuple[list[ModuleRow], list[ProcessRow]]]) -> None:
        """Takes in one look after the other."""
        try:
            async for self.modules, self.processes in looks:
                self.changed.set()
        finally:
            self.ended = True
            self.changed.set()


async def live(site: Session, looks: AsyncIterator[tuple[list[ModuleRow], list[ProcessRow]]], sort: str) -> None:
    """Draws until a key ends it, on the terminal's other screen; raises what the looks raise."""
    console, screen, tasks = Console(), Screen(sort), Tasks("top")

    def picture() -> RenderableType:
        head = f"site {site.where.site}   {states(site.entries())}   {site.where.url}"
        return render(
            head, screen.modules, screen.processes, screen.sort, screen.inverted, console.width, console.height
        )

    following = tasks.spawn(screen.follow(looks), name="looks", awaited=True)
    try:
        with Live(picture(), console=console, screen=True, auto_refresh=False) as drawn, keys(screen.pressed):
            while not screen.ended and console.is_terminal:  # which it is no more once it has gone
                await screen.changed.wait()
                screen.changed.clear()
                drawn.update(picture(), refresh=True)
        if following.done():
            following.result()
    finally:
        await tasks.aclose()
