"""The published schema of the headers that wire.py writes and reads. Loaded by the generator of schemas alone."""

from __future__ import annotations

from typing import Any

from gridlink.bus.wire import ERROR, ERROR_CODE, PACKED
from gridlink.document import Document, envelope

_INSTANCE = r"[A-Za-z0-9_-]+@[A-Za-z0-9_-]+"
_TRACE = r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
_MS = r"[0-9]+"
_END = r"$(?!\n)"


def document() -> Document:
    """Headers as a JSON object of strings: `$defs` has those of a message, of a reply, and the body of an error."""
    return {
        **envelope(
            "headers",
            "headers of messages on NATS",
            "A request or event has `message`; all of it is optional, and what doesn't parse is ignored. A reply has"
            " headers only where it is an error (`error`, ADR-32); its body is then an `errorBody`. The body of any"
            " other message is its payload's JSON and nothing else.",
        ),
        "anyOf": [{"$ref": "#/$defs/message"}, {"$ref": "#/$defs/error"}],
        "$defs": {"message": _message(), "error": _error(), "errorBody": _error_body()},
    }


def _message() -> dict[str, Any]:
    packed = f"^[^;\\r\\n]*;({_INSTANCE})?;({_MS})?;({_TRACE})?{_END}"
    return {
        "type": "object",
        "properties": {
            PACKED: _text(packed, "id;source;timeout in ms;traceparent: how Gridlink packs them. Each may be empty."),
            "Gl-Id": _text("", "Names the message, so that a repetition of it is known as one."),
            "Gl-Source": _text(f"^{_INSTANCE}{_END}", "The instance that sent it: name@node."),
            "Gl-Timeout-Ms": _text(f"^{_MS}{_END}", "How long the sender still waits; no time of day."),
            "traceparent": _text(f"^{_TRACE}{_END}", "W3C Trace Context."),
        },
        "not": {"required": [ERROR]},
    }


def _error() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            ERROR: {**_text("", "What was expected, what came, what to do; one line."), "maxLength": 512},
            ERROR_CODE: _text(r"^[1-5][0-9][0-9]" + _END, "As HTTP has it."),
        },
        "required": [ERROR, ERROR_CODE],
    }


def _error_body() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "The error's class and its whole text, and the fields that the class has (path, expected, got).",
        "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
        "required": ["error", "message"],
    }


def _text(pattern: str, description: str) -> dict[str, Any]:
    found = {"type": "string", "description": description}
    return {**found, "pattern": pattern} if pattern else found
