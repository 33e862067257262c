"""The declarations of a module's handlers. A decorator leaves a mark on the function and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gridlink.address import token
from gridlink.contract import MARK, EveryMark, RequestMark, SubscribeMark

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _marked(mark: object) -> Callable[[Handler], Handler]:
    def decorate(handler: Handler) -> Handler:
        setattr(handler, MARK, mark)
        return handler

    return decorate


def request(type: str, *, thread: bool = False) -> Callable[[Handler], Handler]:
    """The handler answers requests of `type` to the module's roles and to the instance itself.

    `thread`: the handler is a plain `def` that blocks; it runs in the module's own small thread pool.
    """
    return _marked(RequestMark(token(type, "request type"), thread))


def subscribe(topic: str, type: str) -> Callable[[Handler], Handler]:
    """The handler takes each event of `type` on `topic`; those of a topic one after the other, in order of arrival."""
    return _marked(SubscribeMark(token(topic, "topic"), token(type, "event type")))


def every(*, seconds: float) -> Callable[[Handler], Handler]:
    """The handler runs every `seconds` (> 0) of site time; a run that is late makes the next ones wait, not pile up."""
    if not seconds > 0:
        raise ValueError(f"every(seconds=…): expected a number above 0, got {seconds}")
    return _marked(EveryMark(seconds))
