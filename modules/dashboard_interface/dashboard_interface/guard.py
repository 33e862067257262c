"""What keeps other people's web pages away from a door on loopback; pure.

A browser on this machine can be made to send requests here by any page it shows. So: the Host must be ours
(else a name rebound to 127.0.0.1 would read everything), another page's script reaches nothing under /api,
and what changes the grid needs a content type that a form can't send (Fetch standard: not CORS-safelisted).
"""

from collections.abc import Collection

from dashboard_interface.problem import ProblemError, shown
from dashboard_interface.request import Request

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def host_name(authority: str) -> str:
    """The host of `host[:port]`, lower-case, brackets kept, a final dot removed; "" where it has no form."""
    text = authority.strip().lower()
    head, bracket, tail = text.partition("]")
    name, port = (head + bracket, tail) if bracket else (text.partition(":")[0], "".join(text.partition(":")[1:]))
    if port and not (port.startswith(":") and port[1:].isdigit()):
        return ""
    return name.removesuffix(".")


def check_host(request: Request, authority: str | None, allowed: Collection[str]) -> None:
    """Raises ProblemError 400 without a Host, 421 where it isn't ours. Any port will do (tunnels)."""
    host = authority if authority is not None else request.headers.get("host", "")
    if not host:
        raise ProblemError(400, expected="a Host header", came="none", do="send Host: 127.0.0.1")
    name = host_name(host)
    if name not in LOOPBACK_HOSTS and name not in allowed:
        raise ProblemError(
            421,
            expected="Host 127.0.0.1, localhost, [::1] or one of allowed_hosts",
            came=shown(host),
            do="use http://127.0.0.1, or name the host in allowed_hosts of config.json",
        )


def check_site(request: Request) -> None:
    """Raises ProblemError 403 where a browser says that a page of another origin sends this."""
    site = request.headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin"):
        raise _foreign(f"Sec-Fetch-Site {shown(site)}")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != request.headers.get("host", "").lower():
        raise _foreign(f"Origin {shown(origin)}")


def check_json(request: Request) -> None:
    """Raises ProblemError 415 where the content type is not application/json."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(
            415,
            expected="Content-Type: application/json",
            came=shown(content_type) if content_type else "none",
            do="send the body as JSON and say so in Content-Type",
            headers=(("Accept-Post", "application/json"),),
        )


def _foreign(came: str) -> ProblemError:
    return ProblemError(
        403,
        expected="a request of this page itself, or of a program",
        came=came,
        do="open the dashboard at this address and act there",
    )
