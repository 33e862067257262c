"""How `gridlink tap` shows messages, and its summary: a table, JSON, Mermaid. Sealed payloads are shown as sealed."""

from __future__ import annotations

import pytest

from gridlink import address
from gridlink.bus.mirror import Seen
from gridlink.cli import tap_summary
from gridlink.cli.listening import Passed
from gridlink.cli.tap_summary import Summary
from gridlink.cli.tap_text import line, shown
from gridlink.lifecycle import State
from gridlink.registry import Entry

OLTC, TOPIC = address.role("oltc"), address.topic("measurement")
SEALED = '{"sealed": "xchacha20poly1305", "key": "a1b2", "nonce": "x", "data": "abcd"}'


def passed(kind: str, payload: str | None = None, elapsed_us: int = 0, source: str = "handler@n1") -> Passed:
    """A message to the role oltc."""
    size = len(payload) if payload is not None else 0
    seen = Seen(
        kind=kind, address=OLTC, type="raise", source=source, payload=payload, size_bytes=size, elapsed_us=elapsed_us
    )
    return Passed(seen, 3661.25, "n1")


def event() -> Passed:
    """An event on the topic measurement."""
    return Passed(Seen(kind="event", address=TOPIC, type="voltage", source="meter@n1", payload="1"), 0.0)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (passed("request", '{"position": 3}'), '01:01:01.250 handler@n1 -> role oltc raise {"position":3}'),
        (passed("reply", '{"ok":true}', 820), '01:01:01.250 handler@n1 <- role oltc raise 0.8 ms {"ok":true}'),
        (passed("error", '{"error":"Refused","message":"no"}', 100),
         "01:01:01.250 handler@n1 <! role oltc raise 0.1 ms Refused: no"),
        (passed("request", SEALED), "01:01:01.250 handler@n1 -> role oltc raise (sealed with key a1b2, 4 bytes)"),
        (passed("request", source=""), "01:01:01.250 ? -> role oltc raise"),
        (passed("request", "no json"), '01:01:01.250 handler@n1 -> role oltc raise "no json"'),
        (event(), "00:00:00.000 meter@n1 => topic measurement voltage 1"),
    ],
)  # fmt: skip
def test_a_line_for_people(one: Passed, said: str) -> None:
    """Who, to whom, what, how long; never what is sealed."""
    assert line(shown(one)) == said


def test_a_payload_that_was_too_large_is_told_by_its_size() -> None:
    """For people and for programs, with its beginning, which isn't taken for the whole: here it would be a number."""
    beginning = "1" * 1024
    seen = Seen(
        kind="request", address=OLTC, type="raise", payload=beginning, size_bytes=500_002, cut=("source", "payload")
    )
    found = shown(Passed(seen, 0.0, "n1"))
    assert (found["payload"], found["cut"], found["size_bytes"]) == (beginning, ["source", "payload"], 500_002)
    assert line(found).endswith(f'raise "{"1" * 40}"… (500002 bytes)')


def test_the_keys_for_programs() -> None:
    """They are a contract. A reply has its request's `from` and `to`, and how long it took."""
    keys = ["time", "kind", "from", "to", "to_kind", "type", "id", "trace", "payload"]
    assert list(shown(event())) == keys
    assert list(shown(passed("request"))) == [*keys, "node"]
    assert list(shown(passed("reply"))) == [*keys, "node", "elapsed_ms"]


@pytest.fixture
def summary() -> Summary:
    """100 requests, 99 replies of 1 to 99 ms, one error, and 3 events."""
    found = Summary()
    for number in range(1, 100):
        found.add(passed("request"))
        found.add(passed("reply", elapsed_us=number * 1000))
    found.add(passed("request"))
    found.add(passed("error", '{"error":"Busy"}', 200_000))
    for _ in range(3):
        found.add(event())
    return found


STORAGE = Entry(
    name="storage", instance="storage@n1", node="n1", machine="m", pid=1, version="1.0.0", mode="node",
    state=State.RUNNING, subscribes={"measurement": {"voltage": ""}},
)  # fmt: skip


def test_the_summary_for_programs(summary: Summary) -> None:
    """The busiest first; latencies of requests, subscribers of events."""
    assert summary.document([STORAGE]) == {
        "messages": [
            {"from": "handler@n1", "to": "role oltc", "type": "raise", "count": 100, "errors": 1, "answered": 100,
             "p50_ms": 51.0, "p99_ms": 200.0, "max_ms": 200.0},
            {"from": "meter@n1", "to": "topic measurement", "type": "voltage", "count": 3,
             "subscribers": ["storage@n1"]},
        ],
        "left_out": 0,
    }  # fmt: skip


def test_the_summary_for_people(summary: Summary) -> None:
    """One row a sender, address and type."""
    assert summary.table() == [
        ("handler@n1", "role oltc", "raise", "100", "1", "51.00", "200.00", "200.00"),
        ("meter@n1", "topic measurement", "voltage", "3", "", "", "", ""),
    ]


def test_the_summary_as_a_diagram(summary: Summary) -> None:
    """Mermaid's flow chart: boxes, then edges."""
    assert summary.mermaid([STORAGE]).splitlines() == [
        "flowchart LR",
        '  n1["handler@n1"]',
        '  n2["role oltc"]',
        '  n3["meter@n1"]',
        '  n4(["topic measurement"])',
        '  n5["storage@n1"]',
        '  n1 -->|"raise 100x, 51.0 ms, 1 errors"| n2',
        '  n3 -.->|"voltage 3x"| n4',
        "  n4 -.-> n5",
    ]


def test_a_name_cannot_break_the_diagram() -> None:
    """A program outside may call itself anything."""
    found = Summary()
    found.add(passed("request", source='"]; click n1 "x'))
    assert found.mermaid([]).splitlines()[1] == '  n1["#34;#93;#59; click n1 #34;x"]'


def test_the_summary_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows and by samples, whatever senders call themselves."""
    monkeypatch.setattr(tap_summary, "MAX_ROWS", 5)
    found = Summary()
    for number in range(20):
        found.add(passed("request", source=f"s{number}"))
    rows = {row["from"]: row["count"] for row in found.document([])["messages"]}
    assert rows == {"(others)": 15, **{f"s{number}": 1 for number in range(5)}}
