"""How `gridlink tap` shows a message: as JSON for programs, as a line for people. What is sealed is shown as sealed."""

from __future__ import annotations

import time
from typing import Any

from gridlink import address
from gridlink.cli.listening import Passed
from gridlink.codec import dumps, loads
from gridlink.errors import PayloadInvalid

_ARROWS = {"event": "=>", "request": "->", "reply": "<-", "error": "<!"}
SHOWN_LETTERS = 40  # to people, of a payload that is cut


def shown(passed: Passed) -> dict[str, Any]:
    """A message for programs. `from` and `to` of a reply are those of the request that it answers.

    `cut` names the fields of which a node has shown the beginning alone; `size_bytes` is that of the whole payload.
    """
    seen = passed.seen
    kind, _, name = seen.address.partition(".")
    found = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(passed.time_s)) + f".{_ms(passed.time_s):03d}Z",
        "kind": seen.kind,
        "from": seen.source,
        "to": address.readable(seen.address) if kind == "instance" else name,
        "to_kind": kind,
        "type": seen.type,
        "id": seen.id,
        "trace": seen.trace,
        "payload": seen.payload if "payload" in seen.cut else payload(seen.payload),
    }
    if passed.node:
        found["node"] = passed.node
    if seen.kind in ("reply", "error"):
        found["elapsed_ms"] = seen.elapsed_us / 1000
    if seen.cut:
        found["cut"] = list(seen.cut)
        found["size_bytes"] = seen.size_bytes
    return found


def _ms(time_s: float) -> int:
    return int(time_s * 1000) % 1000


def payload(text: str | None) -> Any:
    """The payload's JSON; as it came where it is none."""
    try:
        return loads(text) if text else None
    except PayloadInvalid:
        return text


def line(one: dict[str, Any]) -> str:
    """A message for people, from `shown`."""
    elapsed = f" {one['elapsed_ms']:.1f} ms" if "elapsed_ms" in one else ""
    where = f"{one['to_kind']} {one['to']} {one['type']}"
    return f"{one['time'][11:-1]} {one['from'] or '?'} {_ARROWS[one['kind']]} {where}{elapsed}{_body(one)}"


def _body(one: dict[str, Any]) -> str:
    value = one["payload"]
    if "payload" in one.get("cut", ()):
        return f" {dumps(value[:SHOWN_LETTERS]).decode()}… ({one['size_bytes']} bytes)"
    if value is None:
        return ""
    if isinstance(value, dict):
        if one["kind"] == "error":
            return f" {value.get('error', '')}: {value.get('message', '')}"
        if "sealed" in value:
            return f" (sealed with key {value.get('key', '?')}, {len(str(value.get('data', '')))} bytes)"
    return " " + dumps(value).decode()
