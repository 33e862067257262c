"""Encryption: between two ends of a chain nothing is plain, and nothing that was meddled with passes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from gridlink.address import role
from gridlink.errors import Busy, FailedSealed, GridlinkError, HandlerFailed, PayloadInvalid, Refused, Unreadable
from gridlink.message import Call, Message
from gridlink.proxies.encryption import Encryption
from gridlink.proxies.keys import Key
from gridlink.proxies.scope import Coverage, Scope
from gridlink.proxies.sealing import Keyring, read_sealed
from tests.gridlink.proxies.place import Heard, Place, asked, event

A, B = Key(bytes(range(32))), Key(bytes(range(1, 33)))
SECRET = b'{"tap":"secret"}'


def end(place: Place, *keys: Key, scope: Scope | None = None) -> Encryption:
    """An encryption proxy at a place."""
    proxy = Encryption(Keyring(keys or (A,)))
    around = place.around()
    proxy.attach(around, Coverage(scope or Scope(), around))
    return proxy


class Wire:
    """What is between two ends: keeps each body, and may change a message or a reply on its way."""

    def __init__(self, receiver: Call) -> None:
        self.bodies: list[bytes] = []
        self._receiver = receiver

    async def __call__(self, message: Message) -> Any:
        """Carries a message over and the reply, or the error, back."""
        self.bodies.append(message.payload)
        try:
            reply = await self._receiver(self.changed(message))
        except GridlinkError as error:
            self.bodies.append(repr((str(error), error.details)).encode())
            raise
        self.bodies.append(reply)
        return self.changed_reply(reply)

    def changed(self, message: Message) -> Message:
        """The message as it arrives."""
        return message

    def changed_reply(self, reply: bytes) -> bytes:
        """The reply as it arrives."""
        return reply


def raising(error: Exception) -> Heard:
    """A handler that raises."""

    def reply(_: Message) -> bytes:
        raise error

    return Heard(reply)


async def test_payload_and_reply_are_sealed_on_their_way() -> None:
    """The wire shows neither; both ends see both."""
    handler = Heard(lambda _: SECRET)
    wire = Wire(end(Place()).incoming(handler))
    reply = await end(Place("guard@a")).outgoing(wire)(asked(payload=SECRET))
    assert reply == SECRET
    assert handler.messages[0].payload == SECRET
    assert len(wire.bodies) == 2
    assert all(b"secret" not in body and read_sealed(body) for body in wire.bodies)


@pytest.mark.parametrize(
    "error", [Refused("secret"), PayloadInvalid("secret", path="$.secret", got="secret"), ValueError("secret")]
)
async def test_the_errors_of_a_handler_are_sealed_too(error: Exception) -> None:
    """An error often quotes the payload: it must not be plain where the payload isn't."""
    place = Place()
    wire = Wire(end(place).incoming(raising(error)))
    expected = type(error) if isinstance(error, GridlinkError) else HandlerFailed
    with pytest.raises(expected, match="secret") as caught:
        await end(Place("guard@a")).outgoing(wire)(asked(payload=SECRET))
    if isinstance(error, GridlinkError):
        assert isinstance(caught.value, GridlinkError)
        assert caught.value.details == error.details
    assert b"secret" not in b"".join(wire.bodies)
    assert place.failed == (0 if isinstance(error, GridlinkError) else 1)


async def test_an_error_from_outside_of_the_encryption_passes() -> None:
    """Busy, or nobody there: nothing of the payload is in it."""
    with pytest.raises(Busy):
        await end(Place("guard@a")).outgoing(raising(Busy("later")))(asked())


async def test_a_wrong_key_is_refused_and_counted() -> None:
    """The receiver's operator sees it in the counters, the sender gets the reason."""
    place, handler = Place(), Heard()
    wire = Wire(end(place, B).incoming(handler))
    with pytest.raises(Unreadable, match=f"expected a payload sealed with key {B.id}, got one sealed with key '{A.id}"):
        await end(Place("guard@a"), A).outgoing(wire)(asked())
    assert (handler.messages, place.refused) == ([], 1)


async def test_a_plain_payload_is_refused_where_a_sealed_one_is_expected() -> None:
    """Else anybody could leave the encryption out."""
    place, handler = Place(), Heard()
    with pytest.raises(Unreadable, match=r"expected a payload sealed with key .*, got a plain one of guard@a"):
        await end(place).incoming(handler)(asked())
    assert (handler.messages, place.refused) == ([], 1)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "set"},
        {"address": role("other")},
        {"source": "mallory@c"},
        {"id": "x2"},
    ],
    ids=str,
)
async def test_a_sealed_payload_is_good_for_its_own_message_alone(change: dict[str, Any]) -> None:
    """Somebody on the wire can't send it as something else, or as somebody else's."""

    class Moved(Wire):
        def changed(self, message: Message) -> Message:
            return replace(message, **change)

    place, handler = Place(), Heard()
    wire = Moved(end(place).incoming(handler))
    with pytest.raises(Unreadable, match="another message"):
        await end(Place("guard@a")).outgoing(wire)(asked())
    assert (handler.messages, place.refused) == ([], 1)


async def test_another_site_with_the_same_key_reads_nothing() -> None:
    """A message of one substation must not switch another one."""
    with pytest.raises(Unreadable):
        await end(Place("guard@a")).outgoing(end(Place(site="other")).incoming(Heard()))(asked())


async def test_a_reply_answers_its_own_request_alone() -> None:
    """The reply to an earlier request, also to the same question, is refused."""

    class Old(Wire):
        first = b""

        def changed_reply(self, reply: bytes) -> bytes:
            self.first = self.first or reply
            return self.first

    call = end(Place("guard@a")).outgoing(Old(end(Place()).incoming(Heard())))
    assert await call(asked()) == b'"done"'
    with pytest.raises(Unreadable):
        await call(asked())


@pytest.mark.parametrize("reply", [b'"done"', b"", b"request"])
async def test_a_reply_that_is_plain_or_our_own_request_is_refused(reply: bytes) -> None:
    """A reply is as much worth protecting as a request."""

    async def answers(message: Message) -> bytes:
        return message.payload if reply == b"request" else reply

    with pytest.raises(Unreadable):
        await end(Place("guard@a")).outgoing(answers)(asked())


async def test_a_sealed_error_that_was_meddled_with_is_refused() -> None:
    """It could make a sender believe what its receiver never said."""
    for forged in ("", '{"error":"Refused","message":"no"}'):
        with pytest.raises(Unreadable):
            await end(Place("guard@a")).outgoing(raising(FailedSealed("x", sealed=forged)))(asked())


async def test_events_are_sealed_and_return_nothing() -> None:
    """Nobody answers an event."""
    handler = Heard(lambda _: b"")
    wire = Wire(end(Place()).incoming(handler))
    await end(Place("meter@a")).outgoing(wire)(event(payload=SECRET))
    assert handler.messages[0].payload == SECRET
    assert read_sealed(wire.bodies[0])


async def test_what_is_out_of_scope_stays_plain_but_a_sealed_one_is_opened() -> None:
    """Whoever has the key can read it: scopes say what must be sealed."""
    scope = Scope(role="oltc")
    handler = Heard()
    receiver = end(Place(), scope=scope).incoming(handler)
    wire = Wire(receiver)
    assert await end(Place("guard@a"), scope=scope).outgoing(wire)(asked(payload=SECRET)) == b'"done"'
    assert wire.bodies[0] == SECRET
    assert await end(Place("guard@a")).outgoing(receiver)(asked(payload=SECRET)) == b'"done"'
    assert [message.payload for message in handler.messages] == [SECRET, SECRET]


async def test_two_encryptions_with_keys_of_their_own_live_beside_each_other() -> None:
    """One role may have a key that the rest of the site hasn't."""
    one, two = Scope(role="storage"), Scope(topic="measurement")

    def receive(call: Call) -> Call:
        return end(Place(), A, scope=one).incoming(end(Place(), B, scope=two).incoming(call))

    def send(call: Call) -> Call:
        return end(Place("guard@a"), B, scope=two).outgoing(end(Place("guard@a"), A, scope=one).outgoing(call))

    handler = Heard()
    call = send(receive(handler))
    assert await call(asked(payload=SECRET)) == b'"done"'
    await call(event(payload=SECRET))
    assert [message.payload for message in handler.messages] == [SECRET, SECRET]


async def test_a_receiver_answers_with_the_key_it_was_asked_with() -> None:
    """While a key is replaced, a sender that hasn't the new one yet can still read the reply."""
    receiver = end(Place(), B, A).incoming(Heard())
    assert await end(Place("guard@a"), A).outgoing(receiver)(asked()) == b'"done"'


async def test_a_cancellation_passes_through_both_ends() -> None:
    """It is no error of a handler."""
    forever = asyncio.Event()

    async def waits(_: Message) -> bytes:
        await forever.wait()
        return b""

    place = Place()
    call = end(Place("guard@a")).outgoing(end(place).incoming(waits))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call(asked())
    assert (place.refused, place.failed) == (0, 0)
