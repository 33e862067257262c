"""A module's state as JSON: what its `snapshot()` gives, and what its `restore(state)` takes."""

from __future__ import annotations

import inspect
from typing import Any

from gridlink.codec import codec, encode
from gridlink.errors import ANYTHING, GridlinkError, PayloadInvalid, StateInvalid, raised_at
from gridlink.module.module import Module


def has_snapshot(cls: type[Module[Any]]) -> bool:
    """Whether the module has a state to keep."""
    return cls.snapshot is not Module.snapshot


async def taken(module: Module[Any]) -> bytes:
    """The module's state now. Raises StateInvalid where it raises, or gives what isn't JSON."""
    name = type(module).__name__
    try:
        return encode(await module.snapshot())
    except PayloadInvalid as error:
        raise StateInvalid(f"{name}.snapshot() gave what isn't JSON: {error}") from error
    except ANYTHING as error:  # it is the author's code
        raise StateInvalid(f"{name}.snapshot(): {type(error).__name__}: {error}{raised_at(error)}") from error


async def restored(module: Module[Any], state: bytes) -> None:
    """Gives the module a former state, as the type that its `restore` says. Raises StateInvalid."""
    name = type(module).__name__
    try:
        await module.restore(codec(_type(type(module))).decode(state))
    except PayloadInvalid as error:
        raise StateInvalid(f"{name}.restore(state): the checkpoint doesn't fit its type: {error}") from error
    except GridlinkError:
        raise
    except ANYTHING as error:  # it is the author's code
        raise StateInvalid(f"{name}.restore(state): {type(error).__name__}: {error}{raised_at(error)}") from error


def _type(cls: type[Module[Any]]) -> Any:
    parameters = list(inspect.signature(cls.restore, eval_str=True).parameters.values())
    annotation = parameters[1].annotation
    return Any if annotation is inspect.Parameter.empty else annotation
