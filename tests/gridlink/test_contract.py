"""Contracts: what is read from a class's annotations, and what is refused before it can run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink import Module, Topic, every, request, subscribe
from gridlink.contract import contract_of, describe, digest, schema_of
from gridlink.errors import AddressInvalid, GridlinkError, ModuleInvalid
from gridlink.module.module import config_type


@dataclass(frozen=True)
class Query:
    """A request's payload."""

    point: str
    limit: int = 10


class Reply(TypedDict):
    """A reply."""

    value: float


class Full(Module[None]):
    """One handler of each kind."""

    roles = ("full", "spare")
    publishes = (Topic("news", good=Query, bad=str), Topic("news", ugly=None))

    @request("ask")
    async def ask(self, query: Query) -> Reply:
        """Answers."""
        return {"value": 1.0}

    @request("nothing")
    async def nothing(self) -> None: ...

    @request("slow", thread=True)
    def slow(self, many: list[int]) -> Annotated[int, msgspec.Meta(ge=0)]:
        return 0

    @subscribe("measurement", "voltage")
    async def on_voltage(self, voltage: Reply) -> None: ...

    @subscribe("measurement", "power")
    async def on_power(self) -> None: ...

    @every(seconds=60)
    async def keep(self) -> None: ...


def test_annotations_become_the_contract() -> None:
    """Types are the contract: nothing is written twice."""
    contract = contract_of(Full)
    assert contract.roles == ("full", "spare")
    assert set(contract.requests) == {"ask", "nothing", "slow"}
    ask, nothing, slow = (contract.requests[name] for name in ("ask", "nothing", "slow"))
    assert (ask.handler, ask.payload, ask.reply, ask.thread, ask.doc) == ("ask", Query, Reply, False, "Answers.")
    assert (nothing.payload, nothing.reply) == (None, None)
    assert slow.thread
    assert slow.payload == list[int]
    assert slow.reply == Annotated[int, msgspec.Meta(ge=0)]
    assert {(h.topic, h.type, h.payload) for h in contract.heard} == {
        ("measurement", "voltage", Reply),
        ("measurement", "power", None),
    }
    assert [(t.seconds, t.handler) for t in contract.timed] == [(60, "keep")]
    assert contract.published == {"news": {"good": Query, "bad": str, "ugly": None}}


class Derived(Full):
    """Overrides a handler without decorating it again."""

    roles = ("derived", "spare")

    async def ask(self, query: Query) -> Reply:
        """Answers otherwise."""
        return {"value": 2.0}


def test_an_override_keeps_the_mark_of_what_it_overrides() -> None:
    """A subclass that improves a handler must not silently stop serving it."""
    contract = contract_of(Derived)
    assert contract.roles == ("derived", "spare")
    assert contract.requests["ask"].doc == "Answers otherwise."
    assert set(contract.requests) == set(contract_of(Full).requests)


def test_an_override_may_serve_another_type_instead() -> None:
    """The nearest mark counts."""

    class Renamed(Full):
        @request("question")
        async def ask(self, query: Query) -> Reply:
            return {"value": 3.0}

    assert "question" in contract_of(Renamed).requests
    assert "ask" not in contract_of(Renamed).requests


def test_an_override_of_an_async_handler_that_blocks_is_refused() -> None:
    """The check follows the inherited mark."""
    with pytest.raises(ModuleInvalid, match="a handler is an `async def`"):

        class Blocking(Full):
            def ask(self, query: Query) -> Reply:  # type: ignore[override]
                return {"value": 3.0}


def test_a_plain_def_handler_is_refused_with_the_advice() -> None:
    """A blocking handler would stop every module of the node."""
    with pytest.raises(ModuleInvalid, match=r"`@request\('solve', thread=True\)` and a plain `def`"):

        class Solver(Module[None]):
            @request("solve")
            def solve(self) -> None: ...


def test_an_async_thread_handler_is_refused() -> None:
    """A coroutine in a worker thread would never run."""
    with pytest.raises(ModuleInvalid, match="thread=True is a plain def"):

        class Async(Module[None]):
            @request("solve", thread=True)
            async def solve(self) -> None: ...


def test_plain_def_timers_and_subscribers_are_refused() -> None:
    """The rule holds for each kind of handler."""
    with pytest.raises(ModuleInvalid, match="async def"):

        class Timer(Module[None]):
            @every(seconds=1)
            def tick(self) -> None: ...

    with pytest.raises(ModuleInvalid, match="async def"):

        class Hearer(Module[None]):
            @subscribe("a", "b")
            def on_b(self) -> None: ...


@pytest.mark.parametrize("roles", ["storage", ("a.b",), ("",), (1,), None])
def test_roles_that_are_no_tuple_of_names_are_refused(roles: Any) -> None:
    """`roles = ("storage")` lacks a comma and would serve `s`, `t`, `o` …"""
    with pytest.raises((ModuleInvalid, AddressInvalid), match="roles"):
        type("Bad", (Module,), {"roles": roles})


def test_publishes_that_is_no_tuple_of_topics_is_refused() -> None:
    """The same missing comma."""
    with pytest.raises(ModuleInvalid, match="publishes: expected a tuple"):
        type("Bad", (Module,), {"publishes": Topic("a", b=int)})
    with pytest.raises(ModuleInvalid, match="publishes: expected a tuple"):
        type("Bad", (Module,), {"publishes": ("news",)})


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_every_wants_a_number_above_zero(seconds: float) -> None:
    """A timer of nothing would take the loop for itself."""
    with pytest.raises(ValueError, match="above 0"):
        every(seconds=seconds)


def test_names_that_are_no_tokens_are_refused_in_decorators_and_topics() -> None:
    """A wildcard in a declaration would hear what isn't its own."""
    for declare in (
        lambda: request("a.b"),
        lambda: subscribe("*", "b"),
        lambda: subscribe("a", ">"),
        lambda: Topic("a b", c=int),
        lambda: Topic("a", **{"b.c": int}),
    ):
        with pytest.raises(AddressInvalid):
            declare()


class Twice(Module[None]):
    """Two handlers for one request."""

    @request("ask")
    async def first(self) -> None: ...

    @request("ask")
    async def second(self) -> None: ...


class HeardTwice(Module[None]):
    """Two handlers for one event."""

    @subscribe("measurement", "voltage")
    async def first(self) -> None: ...

    @subscribe("measurement", "voltage")
    async def second(self) -> None: ...


class TwoPayloads(Module[None]):
    """One payload too many."""

    @request("ask")
    async def ask(self, one: int, two: int) -> None: ...


class NoReturn(Module[None]):
    """No return annotation."""

    @request("ask")
    async def ask(self, one: int):  # type: ignore[no-untyped-def]
        ...


class NoType(Module[None]):
    """No payload annotation."""

    @request("ask")
    async def ask(self, one) -> None:  # type: ignore[no-untyped-def]
        ...


class Unknown(Module[None]):
    """An annotation that names nothing."""

    @request("ask")
    async def ask(self, one: Nowhere) -> None:  # type: ignore[name-defined] # noqa: F821
        ...


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (Twice, "first serves 'ask' already"),
        (HeardTwice, "first takes 'voltage' of topic 'measurement' already"),
        (TwoPayloads, "at most one payload after self, got one, two"),
        (NoReturn, "annotate what it returns"),
        (NoType, "annotate 'one' with the payload's type"),
        (Unknown, "annotations can't be read"),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused_with_handler_and_advice(cls: type, says: str) -> None:
    """The author reads one sentence that names the method."""
    with pytest.raises(ModuleInvalid) as caught:
        contract_of(cls)
    assert says in str(caught.value)
    assert cls.__name__ in str(caught.value)


def test_equal_types_have_equal_digests_and_others_have_not() -> None:
    """A digest stands for a schema across nodes, versions and machines."""
    described, derived = describe(contract_of(Full)), describe(contract_of(Derived))
    assert described.requests == derived.requests
    assert described.requests["ask"]["payload"] == digest(schema_of(Query))
    assert described.publishes["news"]["good"] == described.requests["ask"]["payload"]
    assert described.subscribes["measurement"]["voltage"] == described.requests["ask"]["reply"]
    assert digest(schema_of(int)) != digest(schema_of(float))
    for name, schema in described.schemas.items():
        assert digest(schema) == name


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.booleans(), max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(schema: dict[str, Any]) -> None:
    """Two Pythons may build the same schema in another order."""
    if all(abs(value) < 2**63 for value in schema.values()):
        assert digest(schema) == digest(dict(reversed(schema.items())))


def test_a_type_without_a_schema_is_refused() -> None:
    """What can't be published can't be a contract."""
    with pytest.raises(ModuleInvalid, match="has no JSON Schema"):
        schema_of(complex)


def test_the_config_type_is_the_argument_of_module() -> None:
    """`Module[Config]` names what config.json is read into, also through a base of one's own."""

    class Base(Module[Query]):
        pass

    class Child(Base):
        pass

    assert config_type(Base) is Query
    assert config_type(Child) is Query
    assert config_type(Full) is None
    assert issubclass(ModuleInvalid, GridlinkError)
