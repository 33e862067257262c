"""What JetStream is told of a durable topic, and what a delivery says. Pure."""

from __future__ import annotations

import pytest

from gridlink.bus import wire
from gridlink.bus.durable.document import (
    DUPLICATES_S,
    STORE_WITHIN_S,
    consumer_config,
    delivery,
    stream_config,
    with_id,
)
from gridlink.bus.durable.settings import Kept
from gridlink.errors import AddressInvalid


def test_a_stream_is_bounded_in_every_way_and_discards_the_oldest() -> None:
    """A board's flash is small, and what is newest is worth most."""
    config = stream_config("west", "measurement", Kept(max_mib=2.0, max_age_s=60.0, max_events=10))
    assert config["subjects"] == ["gl.west.topic.measurement.>", "gl.west.store.measurement.>"]
    assert (config["max_bytes"], config["max_msgs"], config["max_age"]) == (2 * 1024 * 1024, 10, 60_000_000_000)
    assert config["discard"] == "old"


def test_a_publish_is_given_up_before_the_stream_forgets_that_it_has_it() -> None:
    """Else a late try would be stored twice."""
    assert STORE_WITHIN_S < DUPLICATES_S
    assert stream_config("s", "t", Kept())["duplicate_window"] == DUPLICATES_S * 1e9


def test_a_consumer_has_one_event_on_its_way_and_is_never_dropped_without_a_word() -> None:
    """Two on their way would be out of order when one is repeated; what is given up is the reader's to say."""
    config = consumer_config("guard", Kept())
    assert (config["max_ack_pending"], config["max_deliver"], config["ack_policy"]) == (1, -1, "explicit")


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.topic-m.guard.3.17.19.1795256638703900284.5",
        b"$JS.ACK.gridlink.hash.topic-m.guard.3.17.19.1795256638703900284.5.random",
    ],
)
def test_a_delivery_says_how_often_and_which_in_both_of_jetstreams_forms(reply: bytes) -> None:
    """Newer servers put domain and account first."""
    found = delivery(b"gl.s.topic.m.v", reply, b"1", None)
    assert (found.count, found.sequence) == (3, 17)


@pytest.mark.parametrize("reply", [b"", b"$JS.ACK.a", b"$JS.ACK.a.b.c.d.e.f.g"])
def test_what_is_no_delivery_is_refused(reply: bytes) -> None:
    """A subject that anybody could have sent."""
    with pytest.raises(AddressInvalid, match="acknowledge"):
        delivery(b"gl.s.topic.m.v", reply, b"1", None)


def test_the_id_joins_the_headers_that_are_there() -> None:
    """The stream knows an event that is sent again by it."""
    block = with_id(wire.block({"Gl-Message": "a;b;;"}), "b/a")
    assert wire.parse_headers(block) == {"Gl-Message": "a;b;;", "Nats-Msg-Id": "b/a"}
