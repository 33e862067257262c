"""A request as the endpoints see it, and the split of its target; nothing here does I/O."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from msgspec import Struct, field

from dashboard_interface.problem import ProblemError, shown


class Target(Struct, frozen=True):
    """A request target: `segments` are decoded after the split, so that %2F stays inside its segment."""

    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    authority: str | None


class Request(Struct, frozen=True):
    """A whole request; `headers` by lower-case name, repeated ones joined with a comma."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def split_target(target: str) -> Target:
    """The parts of an origin-form or absolute-form target (RFC 9112, 3.2); raises ProblemError 400."""
    authority, origin = None, target
    if not target.startswith("/"):
        scheme, _, rest = target.partition("://")
        authority, slash, path = rest.partition("/")
        if scheme.lower() not in ("http", "https") or not authority:
            raise _malformed(target)
        origin = slash + path if slash else "/"
    path, _, query = origin.partition("?")
    try:
        segments = tuple(unquote(segment, errors="strict") for segment in path.split("/")[1:])
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError as error:
        raise _malformed(target) from error
    return Target(segments, tuple(pairs), authority)


def _malformed(target: str) -> ProblemError:
    return ProblemError(
        400,
        expected="a target such as /api/grid, percent-encoded UTF-8, at most 16 query parameters",
        came=shown(target),
        do="see /openapi.json for the paths",
    )
