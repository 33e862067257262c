"""The contract of gridlink.bus.Bus, for events: one suite, over both buses, with one node and with two."""

from __future__ import annotations

from gridlink import address
from gridlink.testing import eventually
from tests.gridlink.bus.conftest import Ends
from tests.gridlink.bus.receivers import Recorder, message

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")
ONE = address.instance("oltc@n1")


async def test_events_reach_all_receivers_in_the_order_of_one_sender(ends: Ends) -> None:
    """A voltage that rises must not be seen falling."""
    receivers = [Recorder() for _ in range(3)]
    for receiver in receivers:
        await ends.receiving.subscribe(TOPIC, "voltage", receiver)
    sent = [str(n).encode() for n in range(500)]
    for body in sent:
        await ends.sending.publish(message(TOPIC, "voltage", body, timeout_s=None))
    await eventually(lambda: all(len(r.events) >= 500 for r in receivers))
    for receiver in receivers:
        assert receiver.payloads == sent


async def test_nobody_gets_an_event_twice(ends: Ends) -> None:
    """A receiver in the sender's own node and one in the other: each hears it once."""
    own, other = Recorder(), Recorder()
    await ends.sending.subscribe(TOPIC, "voltage", own)
    await ends.receiving.subscribe(TOPIC, "voltage", other)
    for body in (b"1", b"2"):
        await ends.sending.publish(message(TOPIC, "voltage", body, timeout_s=None))
    await ends.receiving.serve(ROLE, Recorder())
    await ends.sending.request(message(ROLE))  # what was to come twice has come by now
    await eventually(lambda: len(other.events) >= 2)
    assert own.payloads == [b"1", b"2"]
    assert other.payloads == [b"1", b"2"]


async def test_a_type_is_heard_by_its_receivers_alone_and_a_star_hears_all(ends: Ends) -> None:
    """`*` is for those who show or record a topic."""
    voltage, everything = Recorder(), Recorder()
    await ends.receiving.subscribe(TOPIC, "voltage", voltage)
    await ends.receiving.subscribe(TOPIC, "*", everything)
    for type_name in ("voltage", "power"):
        await ends.sending.publish(message(TOPIC, type_name, timeout_s=None))
    await eventually(lambda: len(everything.events) == 2)
    assert [event.type for event in everything.events] == ["voltage", "power"]
    assert [event.type for event in voltage.events] == ["voltage"]


async def test_an_event_that_nobody_hears_is_no_error(ends: Ends) -> None:
    """A publisher doesn't know its receivers."""
    await ends.sending.publish(message(TOPIC, "voltage", timeout_s=None))


async def test_a_closed_subscription_gets_nothing_more(ends: Ends) -> None:
    """A module that has stopped must not be handed messages, and others go on."""
    leaving, staying = Recorder(), Recorder()
    subscription = await ends.receiving.subscribe(TOPIC, "voltage", leaving)
    await ends.receiving.subscribe(TOPIC, "voltage", staying)
    await ends.sending.publish(message(TOPIC, "voltage", b"1", timeout_s=None))
    await eventually(lambda: leaving.events)
    await subscription.aclose()
    await subscription.aclose()
    await ends.sending.publish(message(TOPIC, "voltage", b"2", timeout_s=None))
    await eventually(lambda: len(staying.events) == 2)
    assert leaving.payloads == [b"1"]


async def test_a_topic_can_be_heard_again_after_its_last_receiver_left(ends: Ends) -> None:
    """An update of the only subscriber ends and begins the node's subscription."""
    first, second = Recorder(), Recorder()
    await (await ends.receiving.subscribe(TOPIC, "voltage", first)).aclose()
    await ends.receiving.subscribe(TOPIC, "voltage", second)
    await ends.sending.publish(message(TOPIC, "voltage", b"1", timeout_s=None))
    await eventually(lambda: second.payloads == [b"1"])
    assert first.payloads == []
