"""How a message looks on NATS: subject, headers, error replies. Pure; the schema of the headers is `schemas/headers`.

A request or event carries one packed header, `Gl-Message: <id>;<source>;<timeout ms>;<traceparent>` (each part may be
empty), because every further header costs throughput. A program that isn't Gridlink may send none, or the parts as
`Gl-Id`, `Gl-Source`, `Gl-Timeout-Ms` and `traceparent`. A reply has headers only where it is an error (ADR-32).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from gridlink.address import Address
from gridlink.codec import encode, loads
from gridlink.errors import GridlinkError, PayloadInvalid, from_wire
from gridlink.message import Message, is_traceparent

PACKED = "Gl-Message"
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"
NO_RESPONDERS = "503"
MAX_TIMEOUT_S = 3600.0
MAX_ERROR_BYTES = 64 * 1024


_OURS = f"NATS/1.0\r\n{PACKED}: ".encode()
_END = b"\r\n\r\n"


def headers_of(message: Message) -> bytes:
    """The header block of an outgoing message; what is left of its deadline travels, not a time of day."""
    left_s = message.time_left_s()
    left_ms = "" if left_s is None else str(int(min(left_s, MAX_TIMEOUT_S) * 1000))
    return b"%b%b%b" % (_OURS, f"{message.id};{message.source};{left_ms};{message.trace}".encode(), _END)


def block(headers: Mapping[str, str]) -> bytes:
    """The NATS header block of any headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def message_of(address: Address, type: str, body: bytes, raw: bytes | None, wants_reply: bool) -> Message:
    """An incoming message with its header block. What doesn't parse is ignored: the body is what counts."""
    identity, source, left_ms, trace = _hints(raw) if raw else _NOTHING
    deadline_s = None
    if left_ms.isascii() and left_ms.isdigit():
        deadline_s = time.monotonic() + min(int(left_ms[:9]) / 1000, MAX_TIMEOUT_S)
    return Message(
        address=address,
        type=type,
        payload=body,
        source=source,
        id=identity,
        deadline_s=deadline_s,
        trace=trace if is_traceparent(trace) else "",
        wants_reply=wants_reply,
    )


_NOTHING = ("", "", "", "")


def _hints(raw: bytes) -> tuple[str, str, str, str]:
    """Id, source, timeout and trace; what isn't there is empty."""
    if raw.startswith(_OURS) and raw.find(b"\r\n", len(_OURS)) == len(raw) - len(_END):
        packed = raw[len(_OURS) : -len(_END)].decode("utf-8", "replace")  # the one header that Gridlink writes
        headers: Mapping[str, str] = {}
    else:
        headers = parse_headers(raw) or {}
        packed = headers.get(PACKED, "")
    parts = packed.split(";")
    if len(parts) == 4:
        return parts[0], parts[1], parts[2], parts[3]
    get = headers.get
    return get("Gl-Id", ""), get("Gl-Source", ""), get("Gl-Timeout-Ms", ""), get("traceparent", "")


def parse_headers(raw: bytes) -> dict[str, str] | None:
    """The headers in a NATS header block (`NATS/1.0[ STATUS[ TEXT]]`, lines, an empty line); None where there are none.

    The status of a server's own message (503: nobody is there) is in `Status`. Lines without a colon are passed over.
    """
    first, _, rest = raw.partition(b"\r\n")
    found = {}
    status = first[8:].strip()
    if status:
        found["Status"] = status[:3].decode("ascii", "replace")
    for line in rest.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found[name.strip().decode("utf-8", "replace")] = value.strip().decode("utf-8", "replace")
    return found or None


def error_reply(error: GridlinkError) -> tuple[dict[str, str], bytes]:
    """Headers and body that carry an error back."""
    name, text = type(error).__name__, str(error)
    line = " ".join(text.split())[:512]
    body = encode({"error": name, "message": text, **error.details})
    if len(body) > MAX_ERROR_BYTES:
        body = encode({"error": name, "message": f"{text[: MAX_ERROR_BYTES // 8]} … (cut)"})
    return {ERROR: line or name, ERROR_CODE: str(error.code)}, body


def error_of(headers: Mapping[str, str], body: bytes) -> GridlinkError | None:
    """The error in a reply; None where it is none. Errors of other programs' services become GridlinkError."""
    if ERROR not in headers and ERROR_CODE not in headers:
        return None
    text = headers.get(ERROR, "")
    try:
        details = loads(body)
    except PayloadInvalid:
        details = None
    if not isinstance(details, dict):
        return GridlinkError(f"{text} (code {headers.get(ERROR_CODE, '?')})")
    return from_wire(str(details.get("error", "")), str(details.get("message", text)), details)
