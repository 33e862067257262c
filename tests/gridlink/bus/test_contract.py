"""The contract of gridlink.bus.Bus: one suite, over the in-process bus and over NATS, with one node and with two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from gridlink import address
from gridlink.bus.protocol import Bus
from gridlink.errors import (
    Busy,
    Closed,
    GridlinkError,
    NoSuchInstance,
    NoSuchRole,
    PayloadInvalid,
    PayloadTooLarge,
    Refused,
    RequestTimeout,
)
from gridlink.message import Message
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.conftest import Ends
from tests.gridlink.bus.receivers import Gate, Recorder, message

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")
ONE = address.instance("oltc@n1")
AT_ONCE_S = 2.0  # on a machine that is busy with other things; the alternative takes the message's 5 s, or for ever


async def test_a_request_is_answered_with_the_bytes_that_the_receiver_gave(ends: Ends) -> None:
    """The body is the payload's JSON and nothing else."""
    receiver = Recorder()
    await ends.receiving.serve(ROLE, receiver)
    for body in (b'{"position": 3}', b"", b"null", b"x" * 1000):
        assert await ends.sending.request(message(ROLE, payload=body)) == body
    assert [m.type for m in receiver.requests] == ["do"] * 4


async def test_an_instance_is_reached_by_its_name(ends: Ends) -> None:
    """Control messages go to an instance, never to a role."""
    await ends.receiving.serve(ONE, Recorder())
    assert await ends.sending.request(message(ONE, payload=b"1")) == b"1"


async def test_a_message_arrives_with_all_that_it_says(ends: Ends) -> None:
    """Sender, id, time left and trace are the same for a neighbour and for another node."""
    receiver = Recorder()
    await ends.receiving.serve(ROLE, receiver)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = Message(
        address=ROLE, type="do", payload=b"1", source="a@n2", id="7", deadline_s=time.monotonic() + 5, trace=trace,
        wants_reply=True,
    )  # fmt: skip
    await ends.sending.request(sent)
    got = receiver.requests[0]
    assert (got.address, got.type, got.source, got.id, got.trace) == (ROLE, "do", "a@n2", "7", trace)
    left_s = got.time_left_s()
    assert left_s is not None
    assert 4 < left_s <= 5


@pytest.mark.parametrize(
    "error",
    [
        Refused("expected 3, got 4: send 3"),
        Busy("64 in flight"),
        PayloadInvalid("no", path="$.a", expected="x", got="y"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "from the handler"])
async def test_an_error_crosses_with_class_text_and_fields(ends: Ends, error: GridlinkError, at_once: bool) -> None:
    """`except Refused` works wherever the receiver runs."""

    async def raising(_: Message) -> GridlinkError:
        return error

    await ends.receiving.serve(ROLE, Recorder(raising, refuses=error if at_once else None))
    with pytest.raises(type(error)) as caught:
        await ends.sending.request(message(ROLE))
    assert str(caught.value) == str(error)
    assert caught.value.details == error.details


async def test_a_role_without_members_is_refused_at_once(ends: Ends) -> None:
    """A module must not wait five seconds to learn that nobody is there."""
    began_s = time.monotonic()
    with pytest.raises(NoSuchRole, match="role oltc"):
        await ends.sending.request(message(ROLE))
    assert time.monotonic() - began_s < AT_ONCE_S


async def test_an_instance_that_is_not_there_is_refused_at_once(ends: Ends) -> None:
    """The same for an instance, with its own error."""
    began_s = time.monotonic()
    with pytest.raises(NoSuchInstance, match="oltc@n1"):
        await ends.sending.request(message(ONE))
    assert time.monotonic() - began_s < AT_ONCE_S


async def test_a_request_that_nobody_answers_in_time_fails(ends: Ends) -> None:
    """Everything awaited has a deadline."""
    gate = Gate()
    receiver = Recorder(gate)
    await ends.receiving.serve(ROLE, receiver)
    began_s = time.monotonic()
    with pytest.raises(RequestTimeout, match="role oltc do"):
        await ends.sending.request(message(ROLE, timeout_s=0.1))
    assert 0.09 < time.monotonic() - began_s < 10
    gate.opened.set()
    await eventually(lambda: receiver.answered)  # its late answer goes nowhere, and harms nobody
    assert await ends.sending.request(message(ROLE)) == b'"opened"'


async def test_cancelling_a_request_does_not_cancel_its_handler(ends: Ends) -> None:
    """A tap changer that moves must not stop half-way because its caller went away."""
    gate, tasks = Gate(), Tasks("test")
    receiver = Recorder(gate)
    await ends.receiving.serve(ROLE, receiver)
    asking = tasks.spawn(ends.sending.request(message(ROLE)), name="asking")
    await gate.entered.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert receiver.answered == 0
    gate.opened.set()
    await eventually(lambda: receiver.answered == 1)


async def test_many_requests_at_once_get_each_their_own_answer(ends: Ends) -> None:
    """Answers are matched to requests, not to their order."""

    async def later_first(m: Message) -> bytes:
        await asyncio.sleep(0.02 if int(m.payload) % 2 else 0)
        return bytes(m.payload)

    await ends.receiving.serve(ROLE, Recorder(later_first))
    bodies = [str(n).encode() for n in range(50)]
    assert await asyncio.gather(*(ends.sending.request(message(ROLE, payload=b)) for b in bodies)) == bodies


async def test_the_members_of_a_role_take_turns(ends: Ends) -> None:
    """A role reaches one of its modules; the load is shared."""
    members = [Recorder(), Recorder()]
    for member in members:
        await ends.receiving.serve(ROLE, member)
    for _ in range(10):
        await ends.sending.request(message(ROLE))
    assert [len(member.requests) for member in members] == [5, 5]


async def test_a_member_that_leaves_is_not_asked_any_more(ends: Ends) -> None:
    """The other member takes over; after the last one the role is nobody's."""
    members = [Recorder(), Recorder()]
    first, second = [await ends.receiving.serve(ROLE, member) for member in members]
    await first.aclose()
    for _ in range(3):
        await ends.sending.request(message(ROLE))
    assert [len(member.requests) for member in members] == [0, 3]
    await second.aclose()
    await second.aclose()
    await eventually(lambda: _nobody(ends.sending))


async def _nobody(bus: Bus) -> bool:
    try:
        await bus.request(message(ROLE))
    except NoSuchRole:
        return True
    return False


async def test_a_send_arrives_and_waits_for_no_handler(ends: Ends) -> None:
    """The sender goes on while the receiver works."""
    gate = Gate()
    receiver = Recorder(gate)
    await ends.receiving.serve(ROLE, receiver)
    await ends.sending.send(message(ROLE, payload=b"5", timeout_s=None))
    await eventually(lambda: [bytes(m.payload) for m in receiver.requests] == [b"5"])
    assert receiver.answered == 0
    gate.opened.set()
    await eventually(lambda: receiver.answered == 1)


async def test_a_send_to_nobody_raises(ends: Ends) -> None:
    """A sent message must not vanish where its role does not exist."""
    with pytest.raises(NoSuchRole):
        await ends.sending.send(message(ROLE, timeout_s=None))
    with pytest.raises(NoSuchInstance):
        await ends.sending.send(message(ONE, timeout_s=None))


async def test_a_payload_over_the_limit_is_refused_at_the_sender(ends: Ends) -> None:
    """With its size and the limit; and the connection lives on."""
    receiver = Recorder()
    await ends.receiving.serve(ROLE, receiver)
    limit = ends.sending.max_payload_bytes
    big = b"x" * (limit + 1)
    for call in (ends.sending.request, ends.sending.send, ends.sending.publish):
        with pytest.raises(PayloadTooLarge) as caught:
            await call(message(TOPIC if call == ends.sending.publish else ROLE, payload=big))
        assert (caught.value.size_bytes, caught.value.limit_bytes) == (limit + 1, limit)
    assert await ends.sending.request(message(ROLE, payload=b"1")) == b"1"
    assert len(receiver.requests) == 1


async def test_a_reply_over_the_limit_is_an_error_and_not_a_timeout(ends: Ends) -> None:
    """The sender learns at once why there is no answer, on both buses alike."""
    limit = ends.sending.max_payload_bytes

    async def huge(_: Message) -> bytes:
        return b"x" * (limit + 1)

    await ends.receiving.serve(ROLE, Recorder(huge))
    with pytest.raises(PayloadTooLarge) as caught:
        await ends.sending.request(message(ROLE))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (limit + 1, limit)


async def test_closing_twice_is_fine_and_using_a_closed_bus_is_not(ends: Ends) -> None:
    """Ours closed is another error than theirs broke."""
    bus, receiver = ends.sending, Recorder()
    await bus.aclose()
    await bus.aclose()
    uses: list[Callable[[], Awaitable[object]]] = [
        partial(bus.request, message(ROLE)),
        partial(bus.send, message(ROLE, timeout_s=None)),
        partial(bus.publish, message(TOPIC, timeout_s=None)),
        partial(bus.serve, ROLE, receiver),
        partial(bus.subscribe, TOPIC, "voltage", receiver),
    ]
    for use in uses:
        with pytest.raises(Closed):
            await use()


@pytest.mark.parametrize("timeout_s", [5.0, None])
async def test_closing_fails_the_requests_in_flight(ends: Ends, timeout_s: float | None) -> None:
    """Nobody waits for an answer that can't come any more, with a deadline or without."""
    gate, tasks = Gate(), Tasks("test")
    await ends.receiving.serve(ROLE, Recorder(gate))
    asking = tasks.spawn(ends.sending.request(message(ROLE, timeout_s=timeout_s)), name="asking")
    await gate.entered.wait()
    await ends.sending.aclose()
    with pytest.raises(Closed):
        async with asyncio.timeout(AT_ONCE_S):
            await asking
    gate.opened.set()


async def test_a_registration_can_be_closed_after_its_bus(ends: Ends) -> None:
    """The order of ending must not matter to whoever cleans up."""
    served = await ends.receiving.serve(ROLE, Recorder())
    heard = await ends.receiving.subscribe(TOPIC, "voltage", Recorder())
    await ends.receiving.aclose()
    await served.aclose()
    await heard.aclose()


@pytest.mark.parametrize("what", ["send", "publish", "serve", "subscribe", "aclose"])
async def test_cancelling_any_call_leaves_a_bus_that_works(ends: Ends, what: str) -> None:
    """A cancelled call ends with CancelledError or has been done; the bus serves the next one."""
    receiver, tasks = Recorder(), Tasks("test")
    await ends.receiving.serve(ONE, receiver)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "send": partial(ends.sending.send, message(ONE, timeout_s=None)),
        "publish": partial(ends.sending.publish, message(TOPIC, timeout_s=None)),
        "serve": partial(ends.sending.serve, ROLE, receiver),
        "subscribe": partial(ends.sending.subscribe, TOPIC, "voltage", receiver),
        "aclose": ends.sending.aclose,
    }

    async def call() -> object:
        return await calls[what]()

    calling = tasks.spawn(call(), name=what)
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.wait({calling}, timeout=3)
    assert calling.done()
    assert calling.cancelled() or calling.exception() is None
    if what == "aclose":
        await ends.sending.aclose()
    else:
        assert await ends.sending.request(message(ONE, payload=b"1")) == b"1"
    if what == "serve" and calling.cancelled():
        assert await _nobody(ends.sending)


async def test_a_registration_is_in_effect_when_it_returns(ends: Ends) -> None:
    """The registry says RUNNING right after: the first request must not find nobody, not once in forty times."""
    for n in range(40):
        where = address.role(f"oltc{n}")
        await ends.receiving.serve(where, Recorder())
        await ends.sending.request(message(where))


async def test_a_send_to_nobody_raises_every_time(ends: Ends) -> None:
    """Its 503 must not lose a race with what the sender waits for."""
    for n in range(40):
        with pytest.raises(NoSuchRole):
            await ends.sending.send(message(address.role(f"nobody{n}"), timeout_s=None))
