"""Every error of Gridlink, grouped by whose fault it is. Each says what was expected, what came and what to do.

An error crosses the bus as its class name, its code and its typed fields (`details`), and is the same class again
on the other side (`from_wire`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # the guardian loads this file, and typing alone would cost it 1.6 MiB
    from collections.abc import Mapping
    from typing import Any, ClassVar


class GridlinkError(Exception):
    """The root of all errors of Gridlink. `code` follows HTTP's meaning and travels as `Nats-Service-Error-Code`."""

    code: ClassVar[int] = 500
    fields: ClassVar[tuple[str, ...]] = ()

    @property
    def details(self) -> dict[str, Any]:
        """The typed fields, as they travel in the body of an error reply."""
        return {name: getattr(self, name) for name in self.fields}


# The caller's fault.


class AddressInvalid(GridlinkError):
    """A name that is no token of an address."""

    code = 400


class PayloadInvalid(GridlinkError):
    """A payload that doesn't fit the contract. `path` is a JSON path (`$.value_pu`)."""

    code = 400
    fields = ("path", "expected", "got")

    def __init__(self, message: str, *, path: str = "$", expected: str = "", got: str = "") -> None:
        super().__init__(message)
        self.path, self.expected, self.got = path, expected, got


class PayloadTooLarge(GridlinkError):
    """A payload over the limit of the bus, in bytes."""

    code = 413
    fields = ("size_bytes", "limit_bytes")

    def __init__(self, message: str, *, size_bytes: int = 0, limit_bytes: int = 0) -> None:
        super().__init__(message)
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class NoSuchRole(GridlinkError):
    """No running module is registered for the role."""

    code = 503


class NoSuchInstance(GridlinkError):
    """No running instance has that name."""

    code = 503


class NoSuchType(GridlinkError):
    """The receiver serves no request of that type."""

    code = 404


class TimeoutInvalid(GridlinkError):
    """A `timeout_s` that would never be over, or was before it began. Nothing was sent."""

    code = 400


class AlreadyRegistered(GridlinkError):
    """A receiver that is registered a second time: it would get each message twice."""

    code = 409


class NotDeclared(GridlinkError):
    """A module publishes a type that its class doesn't declare in `publishes`."""

    code = 400


class AccessDenied(GridlinkError):
    """The site's policy doesn't allow this sender to send this type to this address. Nothing was begun."""

    code = 403
    fields = ("source", "to", "type")

    def __init__(self, message: str, *, source: str = "", to: str = "", type: str = "") -> None:
        super().__init__(message)
        self.source, self.to, self.type = source, to, type


class LimitExceeded(GridlinkError):
    """The sender sent more than the site allows. Nothing was begun: try again after `retry_after_s`."""

    code = 429
    fields = ("source", "limit", "allowed", "retry_after_s")

    def __init__(
        self, message: str, *, source: str = "", limit: str = "", allowed: float = 0.0, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.source, self.limit, self.allowed, self.retry_after_s = source, limit, allowed, retry_after_s


class Unreadable(GridlinkError):
    """A payload that isn't sealed where it must be, is sealed with an unknown key, or was changed on its way.

    `expected` and `got` say how it should have been sealed and how it was (ids of keys, never keys).
    """

    code = 400
    fields = ("expected", "got")

    def __init__(self, message: str, *, expected: str = "", got: str = "") -> None:
        super().__init__(message)
        self.expected, self.got = expected, got


class Refused(GridlinkError):
    """The receiver understood the request and won't do it. The message is meant for the sender."""

    code = 409


# The receiver's fault.


class Busy(GridlinkError):
    """The receiver has as many requests in flight as it takes. Nothing was begun: try again later."""

    code = 429


class Stopping(GridlinkError):
    """The receiver is on its way out. The request was not begun: another member can have it."""

    code = 503


class HandlerFailed(GridlinkError):
    """The handler raised something that isn't a GridlinkError."""

    code = 500


class ProxyFailed(GridlinkError):
    """A proxy of a bundle raised something that isn't a GridlinkError. That message alone has failed."""

    code = 500
    fields = ("proxy",)

    def __init__(self, message: str, *, proxy: str = "") -> None:
        super().__init__(message)
        self.proxy = proxy


class FailedSealed(GridlinkError):
    """The error of a handler, sealed as its reply would have been: the encryption of its sender opens it."""

    code = 500
    fields = ("sealed",)

    def __init__(self, message: str, *, sealed: str = "") -> None:
        super().__init__(message)
        self.sealed = sealed


class ReplyInvalid(GridlinkError):
    """A reply that doesn't fit the type that was declared or asked for."""

    code = 502


# Nobody's fault: the world.


class RequestTimeout(GridlinkError):
    """No answer within `timeout_s`. The outcome is unknown."""

    code = 504


class ConnectionLost(GridlinkError):
    """The connection to the bus broke or is down. The outcome of a request in flight is unknown."""

    code = 503


class ServerUnreachable(GridlinkError):
    """No nats-server could be found, started or reached."""

    code = 503


class StoreUnavailable(GridlinkError):
    """No JetStream server of the site can be reached now. Nothing was begun."""

    code = 503


class StoreRefused(GridlinkError):
    """JetStream said no. `err_code` is its own number for the reason."""

    code = 500
    fields = ("err_code",)

    def __init__(self, message: str, *, err_code: int = 0) -> None:
        super().__init__(message)
        self.err_code = err_code


class NotStored(GridlinkError):
    """An event of a durable topic that nobody acknowledged in time. Whether it is stored is unknown."""

    code = 503


class Closed(GridlinkError):
    """Used after it was closed by us."""

    code = 410


# The author's or the operator's fault.


class ModuleInvalid(GridlinkError):
    """A module's class or bundle that can't be hosted as it is: nothing to retry until it changes."""

    code = 422


class ManifestInvalid(ModuleInvalid):
    """A `module.json` that doesn't follow the manifest's schema."""


class ConfigInvalid(ModuleInvalid):
    """A `config.json` that doesn't fit the module's Config."""


class StartFailed(GridlinkError):
    """A module raised in its constructor or in `start`, or didn't return from it in time."""

    code = 500


class StateInvalid(GridlinkError):
    """A snapshot that can't be kept, or a checkpoint that can't be restored."""

    code = 422


class ManagedDirectoryInvalid(GridlinkError):
    """A managed directory that is missing or holds nothing to run."""

    code = 422


class ManagedDirectoryBusy(GridlinkError):
    """A managed directory that another node is running."""

    code = 409


class NameTaken(GridlinkError):
    """Another node of the site has this node's name. `up_s`: how long it has run."""

    code = 409
    fields = ("node", "machine", "pid", "up_s")

    def __init__(self, message: str, *, node: str = "", machine: str = "", pid: int = 0, up_s: float = 0.0) -> None:
        super().__init__(message)
        self.node, self.machine, self.pid, self.up_s = node, machine, pid, up_s


class TrustInvalid(GridlinkError):
    """A listener, route or uplink that would open without TLS and credentials, or half a trust directory."""

    code = 422


class IllegalTransition(GridlinkError):
    """A state machine was asked for a step that its table doesn't have: a defect in the caller."""


def _subclasses(cls: type[GridlinkError]) -> dict[str, type[GridlinkError]]:
    found = {cls.__name__: cls}
    for sub in cls.__subclasses__():
        found.update(_subclasses(sub))
    return found


def from_wire(name: str, message: str, details: Mapping[str, Any]) -> GridlinkError:
    """The error that the other side raised: the same class, or GridlinkError if this side doesn't know it."""
    cls = _subclasses(GridlinkError).get(name, GridlinkError)
    error = cls(message)
    for field in cls.fields:
        if field in details:
            setattr(error, field, details[field])
    return error


class ModuleInterrupted(BaseException):
    """Raised in a module's code that keeps the event loop to itself. Not for it to catch: a BaseException."""


ANYTHING = (Exception, SystemExit, KeyboardInterrupt, ModuleInterrupted)
"""What an author's code may raise and a node outlives; a cancellation is the node's own."""


def raised_at(error: BaseException) -> str:
    """Where an author's code raised: ` (file.py:12)`, or nothing where no frame tells."""
    at = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<"):
            at = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return at
