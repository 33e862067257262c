"""A route: all that is said of an endpoint, once, for dispatch and OpenAPI alike; and the choice of one."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dashboard_interface.problem import ProblemError, shown
from dashboard_interface.request import Request
from dashboard_interface.response import JSON, Answer


class Call(Struct, frozen=True):
    """A request that was found fit; `parameters` and `body` have the types that the route names, or None."""

    request: Request
    parameters: Any = None
    body: Any = None


class Route(Struct, frozen=True):
    """One method of one path. A `{name}` in `path` is a field of `parameters`, its other fields the query.

    `events` are the types of the server-sent events, `errors` the statuses beside those of every route.
    """

    method: str
    path: str
    operation: str
    summary: str
    handler: Callable[[Any, Call], Awaitable[Answer]]
    reply: Any = None
    content_type: str = JSON
    parameters: type[msgspec.Struct] | None = None
    body: type | None = None
    events: tuple[tuple[str, Any], ...] = ()
    errors: tuple[int, ...] = ()

    @property
    def guarded(self) -> bool:
        """Whether pages of other origins are kept out."""
        return self.path.startswith("/api/")


class Match(Struct, frozen=True):
    """The route of a request and what its path says."""

    route: Route
    path_values: Mapping[str, str]


def find(routes: Iterable[Route], method: str, segments: tuple[str, ...]) -> Match:
    """The route of a request; HEAD goes where GET goes. Raises ProblemError 404, or 405 with Allow."""
    allowed: list[str] = []
    for route in routes:
        values = _match(route.path, segments)
        if values is None:
            continue
        if route.method == ("GET" if method == "HEAD" else method):
            return Match(route, values)
        allowed += ["GET", "HEAD"] if route.method == "GET" else [route.method]
    path = shown("/" + "/".join(segments))
    if not allowed:
        raise ProblemError(404, expected="a path of /openapi.json", came=path, do="see /openapi.json for the paths")
    allow = ", ".join(sorted(set(allowed)))
    raise ProblemError(
        405,
        expected=f"{allow} for {path}",
        came=shown(method),
        do="use one of these methods",
        headers=(("Allow", allow),),
    )


def decode(match: Match, request: Request, query: tuple[tuple[str, str], ...]) -> Call:
    """The typed call; raises ProblemError 400 for parameters, 422 for a body that doesn't fit its type."""
    route = match.route
    parameters = None if route.parameters is None else _parameters(match, query, route.parameters)
    if route.parameters is None and query:
        raise _unknown(route, {name for name, _ in query}, set())
    if route.body is None:
        return Call(request, parameters)
    try:
        return Call(request, parameters, msgspec.json.decode(request.body, type=route.body))
    except msgspec.ValidationError as error:
        raise _unfit(422, f"a body that fits {route.body.__name__}", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unfit(400, "a JSON body", str(error)) from error


def _match(path: str, segments: tuple[str, ...]) -> dict[str, str] | None:
    wanted = path.split("/")[1:]
    if len(wanted) != len(segments):
        return None
    values = {}
    for want, came in zip(wanted, segments, strict=True):
        if want.startswith("{"):
            values[want[1:-1]] = came
        elif want != came:
            return None
    return values


def _parameters(match: Match, query: tuple[tuple[str, str], ...], type_: type[msgspec.Struct]) -> Any:
    names = set(type_.__struct_fields__) - set(match.path_values)
    came = [name for name, _ in query]
    if not names.issuperset(came) or len(set(came)) < len(came):
        raise _unknown(match.route, set(came), names)
    try:
        return msgspec.convert({**dict(query), **match.path_values}, type_, strict=False)
    except msgspec.ValidationError as error:
        raise _unfit(400, f"parameters that fit {type_.__name__}", str(error)) from error


def _unknown(route: Route, came: set[str], names: set[str]) -> ProblemError:
    allowed = "each at most once of " + ", ".join(sorted(names)) if names else "no query parameters"
    return _unfit(400, allowed, shown(", ".join(sorted(came))), route.path)


def _unfit(status: int, expected: str, came: str, path: str = "this path") -> ProblemError:
    do = f"see /openapi.json for {path} and send it right"
    return ProblemError(status, expected=expected, came=came, do=do)
