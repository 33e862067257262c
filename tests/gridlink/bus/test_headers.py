"""The published schema of headers: all that wire.py writes fits it, and what is no use does not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink import address
from gridlink.bus import headers, wire
from gridlink.errors import GridlinkError
from gridlink.message import Message
from tests.gridlink.payloads import valid

HEADERS = headers.document()
IDS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=";"), max_size=8)
SOURCES = st.sampled_from(["", "storage@board7", "storage-2@node_1"])
TRACES = st.sampled_from(["", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])


def part(name: str) -> dict[str, Any]:
    """One definition of headers.json, whole."""
    return {"$ref": f"#/$defs/{name}", "$defs": HEADERS["$defs"]}


@given(IDS, SOURCES, TRACES, st.none() | st.floats(0, 5))
def test_the_headers_of_every_message_fit_their_schema(id_: str, source: str, trace: str, left_s: float | None) -> None:
    """And say what the receiver reads in them."""
    deadline_s = None if left_s is None else left_s
    message = Message(
        address=address.role("storage"),
        type="add",
        payload=b"",
        source=source,
        id=id_,
        trace=trace,
        deadline_s=deadline_s,
    )
    raw = wire.headers_of(message)
    made = wire.parse_headers(raw)
    assert valid(part("message"), made)
    assert valid(HEADERS, made)
    read = wire.message_of(message.address, "add", b"", raw, wants_reply=False)
    assert (read.id, read.source, read.trace) == (id_, source, trace)
    assert (read.deadline_s is None) == (left_s is None)


def _errors(cls: type[GridlinkError]) -> list[type[GridlinkError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _errors(sub))]


@pytest.mark.parametrize("cls", _errors(GridlinkError), ids=lambda cls: str(cls.__name__))
@pytest.mark.parametrize("text", ["", "expected a\nnumber", "ä" * 2000])
def test_every_error_fits_the_schema_of_errors(cls: type[GridlinkError], text: str) -> None:
    """Each class, whatever it says: headers and body."""
    made, body = wire.error_reply(cls(text))
    assert valid(part("error"), made)
    assert valid(HEADERS, made)
    assert valid(part("errorBody"), orjson.loads(body))
    assert not valid(part("message"), made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Gl-Message": "a;b"},
        {"Gl-Message": "id;no-instance;5;"},
        {"Gl-Message": "id;;-5;"},
        {"Gl-Message": "id;;;00-xyz"},
        {"Gl-Timeout-Ms": "soon"},
        {"Gl-Timeout-Ms": 5},
        {"Gl-Source": "storage"},
        {"traceparent": "00"},
        {"Nats-Service-Error": "x"},
        {"Nats-Service-Error": "x", "Nats-Service-Error-Code": "yes"},
    ],
)
def test_headers_that_are_no_use_are_refused_by_the_schema(wrong: dict[str, Any]) -> None:
    """The schema is how another language's client is tested."""
    assert not valid(HEADERS, wrong)


def test_headers_of_other_programs_may_stand_beside_ours() -> None:
    """A client of its own may send the parts one by one, or nothing."""
    assert valid(HEADERS, {})
    assert valid(HEADERS, {"Gl-Id": "7", "Gl-Source": "a@b", "Gl-Timeout-Ms": "500", "X-Other": "anything"})
