"""What an endpoint answers with: a whole Response or an EventStream; JSON is written here alone."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from dashboard_interface.problem import ProblemError
from dashboard_interface.sse import Subscription

JSON = "application/json"
PROBLEM = "application/problem+json"
EVENTS = "text/event-stream"
HTML = "text/html; charset=utf-8"
NO_STORE = ("Cache-Control", "no-store")
REVALIDATE = ("Cache-Control", "no-cache")


class Response(Struct, frozen=True):
    """A whole response; `headers` beside Content-Type and Content-Length. A 304 has no body."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = (NO_STORE,)


class EventStream(Struct, frozen=True):
    """A response that goes on until `subscription` is closed."""

    subscription: Subscription
    headers: tuple[tuple[str, str], ...] = (NO_STORE, ("X-Accel-Buffering", "no"))


Answer = Response | EventStream


def json_text(value: Any) -> bytes:
    """The JSON of a dataclass or plain value, on one line."""
    return msgspec.json.encode(value)


def of_json(value: Any) -> Response:
    """200 with the live state `value`, which nobody may store."""
    return Response(200, json_text(value))


def of_problem(error: ProblemError) -> Response:
    """The problem document of an error."""
    return Response(error.status, json_text(error.details()), PROBLEM, (NO_STORE, *error.headers))


def of_document(
    body: bytes,
    content_type: str,
    request_headers: Mapping[str, str],
    extra: tuple[tuple[str, str], ...] = (),
) -> Response:
    """200 with a document that only changes with the module's version, or 304 where the client has it."""
    etag = f'"{sha256(body).hexdigest()[:16]}"'
    headers = (REVALIDATE, ("ETag", etag), *extra)
    known = {each.strip().removeprefix("W/") for each in request_headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(304, b"", content_type, headers)
    return Response(200, body, content_type, headers)
