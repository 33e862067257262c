"""Messages on NATS: headers there and back, headers of other programs, and garbage."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.address import role
from gridlink.bus import wire
from gridlink.errors import GridlinkError, Refused
from gridlink.message import Message

OLTC = role("oltc")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMES = st.from_regex(r"[A-Za-z0-9_@-]{0,20}", fullmatch=True)


@given(NAMES, NAMES, st.none() | st.floats(0.01, 3000), st.sampled_from(["", TRACE]))
def test_the_packed_header_says_all_again(identity: str, source: str, left_s: float | None, trace: str) -> None:
    """Four headers alone cost a third of the throughput: one holds everything, and loses nothing."""
    deadline_s = None if left_s is None else time.monotonic() + left_s
    sent = Message(
        address=OLTC, type="get", payload=b"", id=identity, source=source, deadline_s=deadline_s, trace=trace
    )
    headers = wire.headers_of(sent)
    assert list(wire.parse_headers(headers) or ()) == ["Gl-Message"]
    got = wire.message_of(OLTC, "get", b"", headers, True)
    assert (got.id, got.source, got.trace, got.wants_reply) == (identity, source, trace, True)
    if deadline_s is None:
        assert got.deadline_s is None
    else:
        assert got.deadline_s == pytest.approx(deadline_s, abs=0.5)


def test_a_foreign_program_may_send_the_parts_as_headers_of_their_own() -> None:
    """`nats request -H Gl-Source:...` must work without knowing our packing."""
    headers = {"Gl-Id": "7", "Gl-Source": "scada", "Gl-Timeout-Ms": "1500", "traceparent": TRACE}
    got = wire.message_of(OLTC, "get", b"{}", wire.block(headers), True)
    assert (got.id, got.source, got.trace) == ("7", "scada", TRACE)
    left_s = got.time_left_s()
    assert left_s is not None
    assert 1.0 < left_s <= 1.5


def test_no_headers_mean_a_message_of_nobody_without_a_deadline() -> None:
    """Any NATS client can take part: the body is what counts."""
    got = wire.message_of(OLTC, "get", b"{}", None, False)
    assert (got.id, got.source, got.trace, got.deadline_s, got.wants_reply) == ("", "", "", None, False)


@pytest.mark.parametrize("left", ["", "-1", "soon", "1e3", "²", "1.5", "5 s"])
def test_a_timeout_that_is_no_number_is_ignored(left: str) -> None:
    """Headers are hints: a strange one must not cost the message."""
    assert wire.message_of(OLTC, "get", b"", wire.block({"Gl-Timeout-Ms": left}), True).deadline_s is None


def test_a_timeout_of_years_is_cut() -> None:
    """Nobody can make a receiver keep something for ever."""
    left_s = wire.message_of(OLTC, "get", b"", wire.block({"Gl-Timeout-Ms": "9" * 400}), True).time_left_s()
    assert left_s is not None
    assert left_s <= wire.MAX_TIMEOUT_S


@given(st.dictionaries(st.sampled_from(["Gl-Message", "Gl-Id", "Gl-Source", "Gl-Timeout-Ms", "x"]), st.text()))
def test_garbage_headers_never_raise(headers: dict[str, str]) -> None:
    """A program on the bus can send anything: the node must not notice."""
    assert wire.message_of(OLTC, "get", b"", wire.block(headers), True).payload == b""


@given(st.binary(max_size=80))
def test_a_garbled_header_of_ours_never_raises(garbage: bytes) -> None:
    """The short way that reads our own header must stand what looks like it."""
    whole = wire.message_of(OLTC, "get", b"", b"NATS/1.0\r\nGl-Message: " + garbage + b"\r\n\r\n", True)
    assert whole.payload == b""
    assert wire.message_of(OLTC, "get", b"", b"NATS/1.0\r\nGl-Message: " + garbage, True).payload == b""


def test_other_headers_may_stand_beside_the_packed_one() -> None:
    """Another client of Gridlink's own may add some."""
    raw = wire.block({"Gl-Message": f"7;a@b;1500;{TRACE}", "X-Other": "anything"})
    got = wire.message_of(OLTC, "get", b"", raw, True)
    assert (got.id, got.source, got.trace) == ("7", "a@b", TRACE)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"NATS/1.0\r\n\r\n", None),
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 503 No Responders\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 503No Responders\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0\r\nGl-Id: 7\r\n\r\n", {"Gl-Id": "7"}),
        (b"NATS/1.0\r\nGl-Id:7\r\nA:  b c \r\n\r\n", {"Gl-Id": "7", "A": "b c"}),
        (b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last: 1\r\n\r\n", {"Status": "100", "Nats-Last": "1"}),
        (b"NATS/1.0\r\nurl: http://a:1\r\n\r\n", {"url": "http://a:1"}),
        (b"NATS/1.0\r\nno colon\r\nA: b\r\n\r\n", {"A": "b"}),
        (b"NATS/1.0\r\nA:\r\n\r\n", {"A": ""}),
        (b"NATS/1.0\r\nA: \xff\r\n\r\n", {"A": "�"}),
    ],
)
def test_real_header_blocks_are_read(raw: bytes, found: dict[str, str] | None) -> None:
    """We parse instead of nats-py, which loads JetStream for a status."""
    assert wire.parse_headers(raw) == found


@given(st.binary(max_size=200))
def test_any_bytes_parse_without_raising(raw: bytes) -> None:
    """A broken block is a message without headers, not an exception in the client's read loop."""
    found = wire.parse_headers(raw)
    assert found is None or all(isinstance(value, str) for value in found.values())


def test_an_error_of_another_programs_service_is_a_gridlink_error() -> None:
    """ADR-32 services answer with the two headers and any body."""
    for body in (b"", b"gone", b"[]", b"\xff"):
        error = wire.error_of({wire.ERROR: "no such meter", wire.ERROR_CODE: "404"}, body)
        assert type(error) is GridlinkError
        assert "no such meter" in str(error)
        assert "404" in str(error)


def test_an_error_text_of_many_lines_is_one_header_line() -> None:
    """A line break in a header would end it; the body holds the text as it was."""
    headers, body = wire.error_reply(Refused("one\r\ntwo: " + "x" * 2000))
    assert "\n" not in headers[wire.ERROR]
    assert "\r" not in headers[wire.ERROR]
    assert len(headers[wire.ERROR]) <= 512
    back = wire.error_of(headers, body)
    assert str(back) == "one\r\ntwo: " + "x" * 2000


def test_a_reply_without_the_error_headers_is_no_error() -> None:
    """A payload that looks like an error is a payload."""
    assert wire.error_of({"other": "x"}, b'{"error": "Refused"}') is None


@given(st.dictionaries(st.text(max_size=10), st.none() | st.integers() | st.text() | st.lists(st.none())))
def test_any_error_body_becomes_a_gridlink_error(details: dict[str, object]) -> None:
    """Whatever an error's body holds, the sender gets an error of ours and no other."""
    from gridlink.codec import dumps  # noqa: PLC0415

    try:
        body = dumps(details)
    except TypeError:  # lone surrogates and integers over 64 bits aren't JSON
        return
    assert isinstance(wire.error_of({wire.ERROR_CODE: "500"}, body), GridlinkError)
