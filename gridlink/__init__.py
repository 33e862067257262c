"""Gridlink: hosts the small applications of electricity substations and lets them talk. This is a module's API.

The names are imported when they are first used: the guardian, which imports `gridlink.restart` alone, stays small.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gridlink.contract import Topic
    from gridlink.errors import (
        AccessDenied,
        AddressInvalid,
        Busy,
        Closed,
        ConfigInvalid,
        ConnectionLost,
        GridlinkError,
        HandlerFailed,
        LimitExceeded,
        NoSuchInstance,
        NoSuchRole,
        NoSuchType,
        PayloadInvalid,
        PayloadTooLarge,
        Refused,
        ReplyInvalid,
        RequestTimeout,
        Unreadable,
    )
    from gridlink.message import Message, message
    from gridlink.module import Module, every, request, subscribe
    from gridlink.proxies import Proxy

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddressInvalid",
    "Busy",
    "Closed",
    "ConfigInvalid",
    "ConnectionLost",
    "GridlinkError",
    "HandlerFailed",
    "LimitExceeded",
    "Message",
    "Module",
    "NoSuchInstance",
    "NoSuchRole",
    "NoSuchType",
    "PayloadInvalid",
    "PayloadTooLarge",
    "Proxy",
    "Refused",
    "ReplyInvalid",
    "RequestTimeout",
    "Topic",
    "Unreadable",
    "every",
    "message",
    "request",
    "subscribe",
]

_HOMES = {
    "gridlink.contract": ("Topic",),
    "gridlink.message": ("Message", "message"),
    "gridlink.module": ("Module", "every", "request", "subscribe"),
    "gridlink.proxies": ("Proxy",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"gridlink has no {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module  # noqa: PLC0415 - see above

    found = getattr(import_module(_HOME.get(name, "gridlink.errors")), name)
    globals()[name] = found
    return found
