"""Tells whose code is on the loop while a module starts: a module that never gives the loop back is found by it."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Tell = Callable[[str], None]
"""Told the name when a step of it begins, and "" when the loop has control again."""


def in_one_step(tell: Tell, name: str, call: Callable[[], T]) -> T:
    """Makes a call that doesn't await, between the two tellings."""
    tell(name)
    try:
        return call()
    finally:
        tell("")


@types.coroutine
def step_by_step(tell: Tell, name: str, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Awaits, and tells of each step. Cancelling it cancels what it awaits."""
    go_on: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        try:
            waits_for = in_one_step(tell, name, go_on)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            go_on = partial(coroutine.send, (yield waits_for))
        except BaseException as error:  # noqa: BLE001 - a cancellation, too, goes on to whoever is awaited
            go_on = partial(coroutine.throw, error)
