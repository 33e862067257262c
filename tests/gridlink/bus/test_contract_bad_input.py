"""Bad input over both buses, with one node and with two: each has its error, with a sentence and fields to act on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from gridlink import Module, Topic, address, request
from gridlink.errors import (
    AddressInvalid,
    AlreadyRegistered,
    Busy,
    Closed,
    ModuleInvalid,
    NoSuchType,
    PayloadInvalid,
    ReplyInvalid,
    RequestTimeout,
    TimeoutInvalid,
)
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.testing import Site, eventually
from tests.gridlink.bus.conftest import Ends
from tests.gridlink.bus.receivers import Recorder, message

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")


@dataclass(frozen=True)
class Voltage:
    """A payload."""

    meter: str
    value_pu: float


class Probe(Module[None]):
    """Does what it shouldn't."""

    roles = ("probe",)
    publishes = (Topic("measurement", voltage=Voltage),)

    @request("text")
    async def text(self, word: str) -> str:
        """The word again."""
        return word

    @request("wrong")
    async def wrong(self) -> int:
        """Breaks its contract."""
        return "three"  # type: ignore[return-value]

    @request("count")
    async def count(self, number: int) -> int:
        """Asks itself, by role and by name, so many times."""
        if number == 0:
            return 0
        to = "probe" if number % 2 else self.instance
        below: int = await self.bus.request(to, "count", number - 1, reply=int)
        return below + 1

    @request("circle")
    async def circle(self) -> None:
        """Asks the other one, which asks this one."""
        await self.bus.request("mirror", "circle")


class Mirror(Module[None]):
    """The other half of a circle."""

    roles = ("mirror",)

    @request("circle")
    async def circle(self) -> None:
        """Asks back."""
        await self.bus.request("probe", "circle")


@pytest.fixture
async def sender(ends: Ends, tmp_path: Path) -> AsyncIterator[Sender]:
    """Sends to a node that hosts both modules."""
    async with Node(ends.receiving, "m") as node:
        site = Site(node, tmp_path)
        await site.host(Probe, name="probe")
        await site.host(Mirror, name="mirror")
        yield Sender(ends.sending, "test@test")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "*", ">", "ä", "a\r\nPUB x 1", "a@b@c", "@", "a@", "@b", 5, None])
async def test_a_name_that_is_no_token_is_refused_where_it_is_used(sender: Sender, name: Any) -> None:
    """Nothing of it reaches the wire, where a space or a line's end would be a command."""
    for use in (
        lambda: sender.request(name, "text", "x"),
        lambda: sender.send(name, "text", "x"),
        lambda: sender.publish(name, "voltage", {}),
        lambda: sender.request("probe", name, "x"),
    ):
        with pytest.raises(AddressInvalid, match=r"^\w[\w ]*: expected (a|the) name of .*, got "):
            await use()
    assert await sender.request("probe", "text", "x") == "x"


@pytest.mark.parametrize("timeout_s", [nan, inf, -inf, -0.001])
async def test_a_timeout_that_is_no_number_of_seconds_is_refused(sender: Sender, timeout_s: float) -> None:
    """NaN is never reached: its sender would wait until the receiver's node dies."""
    with pytest.raises(
        TimeoutInvalid, match=r"^timeout_s: expected seconds from 0 up, and an end .*, got -?(nan|inf|0)"
    ):
        await sender.request("probe", "text", "x", timeout_s=timeout_s)
    assert await sender.request("probe", "text", "x", timeout_s=1e6) == "x"


async def test_a_timeout_of_nothing_is_over_at_once(sender: Sender) -> None:
    """What is left of somebody else's time may be nothing: that is no mistake."""
    with pytest.raises(RequestTimeout):
        await sender.request("probe", "text", "x", timeout_s=0)


@pytest.mark.parametrize(
    ("payload", "path", "got"),
    [
        (object(), "$", "object"),
        ({"meters": [{"value": 1}, {"value": 2j}]}, "$.meters[1].value", "complex"),
        ({"values": (1.0, nan)}, "$.values[1]", "float"),
        (Voltage("m", nan), "$.value_pu", "float"),
        ([[Voltage("m", 1.0), Voltage(object(), 1.0)]], "$[0][1].meter", "object"),  # type: ignore[arg-type]
        ({"at": "\ud800"}, "$.at", "str"),
    ],
    ids=["object", "nested", "nan", "field", "lists", "surrogate"],
)
async def test_what_json_cannot_hold_is_refused_with_its_path(
    sender: Sender, payload: Any, path: str, got: str
) -> None:
    """By the sender, before anything is sent; a program finds path and type in the error's fields."""
    for use in (
        lambda: sender.request("probe", "text", payload),
        lambda: sender.send("probe", "text", payload),
        lambda: sender.publish("measurement", "voltage", payload),
    ):
        with pytest.raises(PayloadInvalid) as caught:
            await use()
        assert (caught.value.path, caught.value.got) == (path, got)
        assert str(caught.value).startswith(f"{path}: a {got} can't be sent as JSON: ")


async def test_what_holds_itself_is_refused(sender: Sender) -> None:
    """Without end, and without a path that would have none."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PayloadInvalid, match=r"^\$: a list can't be sent as JSON"):
        await sender.request("probe", "text", loop)


async def test_a_payload_that_does_not_fit_is_refused_by_the_receiver(sender: Sender) -> None:
    """With path, what was expected, what came."""
    with pytest.raises(PayloadInvalid) as caught:
        await sender.request("probe", "text", {"word": "x"})
    assert (caught.value.path, caught.value.expected, caught.value.got) == ("$", "str", "object")
    with pytest.raises(NoSuchType, match="probe@n1 doesn't serve 'dance'; it serves circle, count, text, wrong"):
        await sender.request("probe", "dance")


async def test_a_reply_of_another_type_is_an_error_on_either_side(sender: Sender) -> None:
    """The handler's own contract, and what was asked for."""
    with pytest.raises(ReplyInvalid, match=r"the reply to wrong broke its contract: .*expected `int`, got `str`"):
        await sender.request("probe", "wrong")
    with pytest.raises(ReplyInvalid, match=r"the reply to text is not what was asked for: .*expected `int`, got `str`"):
        await sender.request("probe", "text", "x", reply=int)


async def test_a_module_may_ask_itself(sender: Sender) -> None:
    """By its role and by its name, fifty deep: each handler has a task of its own."""
    assert await sender.request("probe", "count", 50, reply=int) == 50


async def test_a_circle_of_requests_ends_with_an_error_that_says_so(sender: Sender) -> None:
    """Not with a full memory, nor with a timeout; and the modules serve the next request."""
    async with asyncio.timeout(20):
        with pytest.raises(Busy, match=r"has 64 requests in flight: .* ask each other in a circle") as caught:
            await sender.request("probe", "circle", timeout_s=15)
    assert "mirror@n1 circle" in str(caught.value) or "probe@n1 circle" in str(caught.value)
    assert await sender.request("probe", "text", "x") == "x"


async def test_a_receiver_that_has_much_to_do_is_not_called_a_circle(ends: Ends, tmp_path: Path) -> None:
    """Many callers, each with a cause of its own."""
    opened = asyncio.Event()

    class Slow(Module[None]):
        roles = ("slow",)

        @request("wait")
        async def wait(self) -> None:
            """Waits."""
            await opened.wait()

    async with Node(ends.receiving, "m") as node:
        await Site(node, tmp_path).host(Slow, name="slow")
        sender = Sender(ends.sending, "test@test")
        asking = [asyncio.ensure_future(sender.request("slow", "wait")) for _ in range(64)]  # noqa: TID251
        await eventually(lambda: node.instances["slow@n1"].counters.requests == 64)
        with pytest.raises(Busy, match=r"slow@n1 has 64 requests in flight: try again later$"):
            await sender.request("slow", "wait")
        opened.set()
        await asyncio.gather(*asking)


async def test_a_receiver_is_registered_once(ends: Ends) -> None:
    """Twice, it would get each message twice. After it was closed it may come again; others are not concerned."""
    receiver = Recorder()
    served = await ends.receiving.serve(ROLE, receiver)
    heard = await ends.receiving.subscribe(TOPIC, "voltage", receiver)
    with pytest.raises(AlreadyRegistered, match="registered for role oltc already: close that registration first"):
        await ends.receiving.serve(ROLE, receiver)
    with pytest.raises(AlreadyRegistered, match="registered for 'voltage' of topic measurement already"):
        await ends.receiving.subscribe(TOPIC, "voltage", receiver)
    await ends.receiving.subscribe(TOPIC, "power", receiver)
    await ends.receiving.subscribe(TOPIC, "voltage", Recorder())
    await ends.sending.publish(message(TOPIC, "voltage", b"1", timeout_s=None))
    await ends.sending.request(message(ROLE))
    await eventually(lambda: receiver.payloads == [b"1"])
    assert len(receiver.requests) == 1
    await served.aclose()
    await heard.aclose()
    await ends.receiving.serve(ROLE, receiver)
    await ends.receiving.subscribe(TOPIC, "voltage", receiver)
    await ends.sending.request(message(ROLE))


def test_a_class_that_takes_an_event_or_a_request_twice_is_refused() -> None:
    """An author's subscription twice is a mistake in the class, told before it runs."""
    from gridlink import subscribe  # noqa: PLC0415
    from gridlink.contract import contract_of  # noqa: PLC0415

    class Twice(Module[None]):
        @subscribe("measurement", "voltage")
        async def one(self, voltage: Voltage) -> None: ...

        @subscribe("measurement", "voltage")
        async def two(self, voltage: Voltage) -> None: ...

    with pytest.raises(ModuleInvalid, match="two: one takes 'voltage' of topic 'measurement' already"):
        contract_of(Twice)


async def test_a_module_that_goes_on_after_its_bus_was_closed_is_told(sender: Sender, ends: Ends) -> None:
    """A task that was left over must not wait for an answer."""
    await ends.sending.aclose()
    for use in (
        lambda: sender.request("probe", "text", "x"),
        lambda: sender.send("probe", "text", "x"),
        lambda: sender.publish("measurement", "voltage", {}),
    ):
        with pytest.raises(Closed, match="this bus is closed: use it inside its `async with`"):
            await use()
