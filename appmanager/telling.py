"""Tells the guardian how the bundles fare whenever that changes, for `systemctl status` to show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gridlink.lifecycle import State

EVERY_S = 2.0


async def keep_told(
    bundles: Callable[[], Sequence[tuple[str, State]]], told: Callable[[str], None], every_s: float = EVERY_S
) -> None:
    """Runs until it is cancelled. `bundles` gives names and states of now; `told` gets a sentence that is new."""
    said = ""
    while True:
        text = in_words(bundles())
        if text != said:
            said = text
            told(text)
        await asyncio.sleep(every_s)


def in_words(bundles: Sequence[tuple[str, State]]) -> str:
    """How many run, and which others there are, by their states."""
    running = sum(state is State.RUNNING for _, state in bundles)
    text = f"{running} of {len(bundles)} bundles are RUNNING"
    others = {state: [name for name, found in bundles if found is state] for _, state in bundles}
    others.pop(State.RUNNING, None)
    return "; ".join((text, *(f"{state.value}: {', '.join(names)}" for state, names in sorted(others.items()))))
