"""What a module serves, hears and publishes, read from its class. The annotations are the contract.

`Contract` holds Python types; `Contract.schemas` turns them into JSON Schemas (2020-12) under their digests.
"""

from __future__ import annotations

import hashlib
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from gridlink.address import token
from gridlink.errors import ModuleInvalid

MARK = "__gridlink__"  # the attribute by which a decorator leaves its declaration on a handler


class Topic:
    """A topic that a module publishes on, with the type of each event: `Topic("oltc", tapChanged=TapChanged)`."""

    __slots__ = ("events", "name")

    def __init__(self, name: str, /, **events: Any) -> None:
        self.name = token(name, "topic")
        self.events = {token(event, "event type"): payload for event, payload in events.items()}


class RequestMark(Struct, frozen=True):
    """What `@request` leaves on a handler."""

    type: str
    thread: bool


class SubscribeMark(Struct, frozen=True):
    """What `@subscribe` leaves on a handler."""

    topic: str
    type: str


class EveryMark(Struct, frozen=True):
    """What `@every` leaves on a handler; seconds of site time."""

    seconds: float


class Served(Struct, frozen=True):
    """A request that a module answers. `payload` and `reply` are types; None where there is none."""

    type: str
    handler: str
    payload: Any
    reply: Any
    thread: bool
    doc: str


class Heard(Struct, frozen=True):
    """An event that a module subscribes to."""

    topic: str
    type: str
    handler: str
    payload: Any


class Timed(Struct, frozen=True):
    """A handler that runs every so many seconds of site time."""

    seconds: float
    handler: str


class Contract(Struct, frozen=True):
    """All that a module's class declares."""

    roles: tuple[str, ...]
    requests: dict[str, Served]
    heard: tuple[Heard, ...]
    timed: tuple[Timed, ...]
    published: dict[str, dict[str, Any]]  # topic -> event type -> payload type


def marked(cls: type) -> list[tuple[str, Callable[..., Any], Any]]:
    """The handlers of a class: name, function, mark; a subclass's override keeps the mark of what it overrides."""
    found = []
    for name in dir(cls):
        function = inspect.getattr_static(cls, name)
        mark = next((vars(k)[name].__dict__[MARK] for k in cls.__mro__ if _has_mark(k, name)), None)
        if mark is not None:
            found.append((name, function, mark))
    return found


def _has_mark(cls: type, name: str) -> bool:
    return MARK in getattr(vars(cls).get(name), "__dict__", ())


def check_handlers(cls: type) -> None:
    """Refuses, when the class is made, handlers that would block the loop or that nothing could call."""
    for name, function, mark in marked(cls):
        in_thread = isinstance(mark, RequestMark) and mark.thread
        where = f"{cls.__qualname__}.{name}"
        if inspect.iscoroutinefunction(function) == in_thread:
            raise ModuleInvalid(
                f"{where}: a handler with thread=True is a plain def"
                if in_thread
                else f"{where}: a handler is an `async def`; one that blocks is "
                f"`@request({getattr(mark, 'type', name)!r}, thread=True)` and a plain `def`"
            )
    _check_tuple(cls, "roles", str, '("storage",)')
    _check_tuple(cls, "publishes", Topic, '(Topic("oltc", tapChanged=TapChanged),)')
    for role in cls.roles:  # type: ignore[attr-defined]
        token(role, f"{cls.__qualname__}.roles")


def check_hooks(cls: type, hooks: Iterable[str]) -> None:
    """Refuses, when the class is made, hooks that nobody could await."""
    for name in hooks:
        function = inspect.getattr_static(cls, name)
        if inspect.isfunction(function) and not inspect.iscoroutinefunction(function):
            raise ModuleInvalid(f"{cls.__qualname__}.{name}: a hook is an `async def`, also where it awaits nothing")


def _check_tuple(cls: type, name: str, of: type, example: str) -> None:
    declared = getattr(cls, name)
    if not isinstance(declared, tuple | list) or not all(isinstance(one, of) for one in declared):
        raise ModuleInvalid(f"{cls.__qualname__}.{name}: expected a tuple such as {example}, got {declared!r}")


def contract_of(cls: type) -> Contract:
    """The contract of a module's class. Raises ModuleInvalid for a handler that isn't annotated as it must be."""
    requests: dict[str, Served] = {}
    heard: list[Heard] = []
    timed: list[Timed] = []
    for name, function, mark in marked(cls):
        where = f"{cls.__qualname__}.{name}"
        payload, reply = _signature(function, where)
        if isinstance(mark, RequestMark):
            if mark.type in requests:
                raise ModuleInvalid(f"{where}: {requests[mark.type].handler} serves {mark.type!r} already")
            doc = inspect.getdoc(function) or ""
            requests[mark.type] = Served(mark.type, name, payload, reply, mark.thread, doc)
        elif isinstance(mark, SubscribeMark):
            holder = next((h.handler for h in heard if (h.topic, h.type) == (mark.topic, mark.type)), None)
            if holder is not None:
                raise ModuleInvalid(f"{where}: {holder} takes {mark.type!r} of topic {mark.topic!r} already")
            heard.append(Heard(mark.topic, mark.type, name, payload))
        else:
            timed.append(Timed(mark.seconds, name))
    published: dict[str, dict[str, Any]] = {}
    for topic in cls.publishes:  # type: ignore[attr-defined]
        published.setdefault(topic.name, {}).update(topic.events)
    return Contract(tuple(cls.roles), requests, tuple(heard), tuple(timed), published)  # type: ignore[attr-defined]


def _signature(function: Callable[..., Any], where: str) -> tuple[Any, Any]:
    """The types of payload and reply in a handler's annotations."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is the author's code: it may raise anything
        raise ModuleInvalid(f"{where}: its annotations can't be read: {error}") from error
    names = list(inspect.signature(function).parameters)[1:]
    if len(names) > 1:
        raise ModuleInvalid(f"{where}: expected at most one payload after self, got {', '.join(names)}")
    if names and names[0] not in hints:
        raise ModuleInvalid(f"{where}: annotate {names[0]!r} with the payload's type")
    if "return" not in hints:
        raise ModuleInvalid(f"{where}: annotate what it returns (None for nothing)")
    reply = hints["return"]
    return (hints[names[0]] if names else None), (None if reply is type(None) else reply)


def schema_of(type_: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a payload's type; for None one that takes only null."""
    if type_ is None:
        return {"type": "null"}
    try:
        return msgspec.json.schema(type_)
    except TypeError as error:
        raise ModuleInvalid(f"{type_!r} has no JSON Schema: {error}") from error


def digest(schema: dict[str, Any]) -> str:
    """A short name for a schema: equal schemas have equal digests."""
    return hashlib.blake2b(msgspec.json.encode(schema, order="sorted"), digest_size=12).hexdigest()


class Described(Struct, frozen=True):
    """A contract as others see it: types as digests of their schemas, and the schemas."""

    requests: dict[str, dict[str, str]]  # type -> {"payload": digest, "reply": digest}
    publishes: dict[str, dict[str, str]]  # topic -> type -> digest
    subscribes: dict[str, dict[str, str]]
    schemas: dict[str, dict[str, Any]]  # digest -> schema


def describe(contract: Contract) -> Described:
    """The contract with its schemas under their digests."""
    schemas: dict[str, dict[str, Any]] = {}

    def noted(type_: Any) -> str:
        schema = schema_of(type_)
        name = digest(schema)
        schemas[name] = schema
        return name

    requests = {r.type: {"payload": noted(r.payload), "reply": noted(r.reply)} for r in contract.requests.values()}
    publishes = {t: {e: noted(p) for e, p in events.items()} for t, events in contract.published.items()}
    subscribes: dict[str, dict[str, str]] = {}
    for heard in contract.heard:
        subscribes.setdefault(heard.topic, {})[heard.type] = noted(heard.payload)
    return Described(requests, publishes, subscribes, schemas)
