"""Gridlink: hosts the small applications of electricity substations and lets them talk. This is a module's API."""

from gridlink.contract import Topic
from gridlink.errors import (
    AddressInvalid,
    Busy,
    Closed,
    ConfigInvalid,
    ConnectionLost,
    GridlinkError,
    HandlerFailed,
    NoSuchInstance,
    NoSuchRole,
    NoSuchType,
    PayloadInvalid,
    PayloadTooLarge,
    Refused,
    ReplyInvalid,
    RequestTimeout,
)
from gridlink.message import Message, message
from gridlink.module import Module, every, request, subscribe

__version__ = "0.1.0"

__all__ = [
    "AddressInvalid",
    "Busy",
    "Closed",
    "ConfigInvalid",
    "ConnectionLost",
    "GridlinkError",
    "HandlerFailed",
    "Message",
    "Module",
    "NoSuchInstance",
    "NoSuchRole",
    "NoSuchType",
    "PayloadInvalid",
    "PayloadTooLarge",
    "Refused",
    "ReplyInvalid",
    "RequestTimeout",
    "Topic",
    "every",
    "message",
    "request",
    "subscribe",
]
