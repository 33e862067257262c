"""What the site's answers and failures become for an HTTP client."""

from types import SimpleNamespace
from typing import Any

import pytest

from dashboard_interface.api import MeasurementsQuery, TapRequest, TapState
from dashboard_interface.gateway import BusSite
from dashboard_interface.problem import ProblemError
from gridlink.errors import (
    Busy,
    ConnectionLost,
    GridlinkError,
    HandlerFailed,
    NoSuchRole,
    NoSuchType,
    PayloadInvalid,
    Refused,
    RequestTimeout,
)

STATE = TapState(1, 1, -9, 9, False, 0, False)


class FakeBus:
    """Answers or raises what it was given and keeps what it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def request(
        self,
        to: str,
        type: str,
        payload: Any = None,
        *,
        reply: Any = Any,
        timeout_s: float = 5.0,
    ) -> Any:
        self.asked.append((to, type, payload, reply, timeout_s))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def site(answer: object, entries: list[Any] | None = None) -> tuple[BusSite, FakeBus]:
    """A site on a fake bus."""
    bus = FakeBus(answer)
    registry = SimpleNamespace(instances=lambda: entries or [])
    return BusSite(bus, registry, SimpleNamespace(now=lambda: 5.0), 4.0), bus


async def test_requests_go_to_their_roles_with_a_deadline() -> None:
    """The names of the contract, and a time limit below the HTTP client's."""
    gateway, bus = site(STATE)
    assert await gateway.set_tap(TapRequest(2)) is STATE
    assert await gateway.tap() is STATE
    assert bus.asked == [
        ("oltc", "setTapPosition", TapRequest(2), TapState, 4.0),
        ("oltc", "getTapPosition", None, TapState, 4.0),
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoSuchRole("no storage"), 503),
        (ConnectionLost("gone"), 503),
        (Busy("64 in flight"), 503),
        (RequestTimeout("5 s"), 504),
        (Refused("locked out"), 409),
        (PayloadInvalid("$.x"), 502),
        (NoSuchType("no"), 502),
        (HandlerFailed("boom"), 502),
    ],
)
async def test_each_failure_of_the_bus_has_its_status_and_its_words(error: GridlinkError, status: int) -> None:
    """An operator sees why, a program sees whether to try again."""
    gateway, _ = site(error)
    with pytest.raises(ProblemError) as caught:
        await gateway.set_tap(TapRequest(2))
    assert caught.value.status == status
    assert str(error) in caught.value.came
    assert bool(caught.value.headers) == (status == 503)


async def test_a_data_point_that_storage_does_not_know_is_404() -> None:
    """The rest of the query was checked before it went out."""
    gateway, _ = site(Refused("no such data point"))
    with pytest.raises(ProblemError) as caught:
        await gateway.measurements(MeasurementsQuery("x", 0, 1))
    assert caught.value.status == 404


async def test_registry_entries_are_shown_sorted_and_without_nulls() -> None:
    """Whatever containers the registry uses, the JSON is the same."""
    entries = [
        SimpleNamespace(
            instance=f"{name}@n",
            name=name,
            node="n",
            machine="m",
            mode="node",
            version="1.0.0",
            state="RUNNING",
            reason=None,
            roles=frozenset({name}),
            topics=("t",),
        )
        for name in ("b", "a")
    ]
    gateway, _ = site(None, entries)
    assert [each.instance for each in gateway.modules()] == ["a@n", "b@n"]
    assert gateway.modules()[0].roles == ["a"]
    assert gateway.modules()[0].reason == ""
