"""What an operator signs: every field of a command, whom it is for, and when it was signed. Pure.

The bytes begin with one that no text in UTF-8 has: a nats-server has its clients sign a text of its choice when they
connect, often with the same nkey, and must not be able to have a command signed that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
import orjson
from msgspec import structs

from gridlink.errors import PayloadInvalid

PREFIX = b"\xffgridlink command 1\n"
UNSIGNED = frozenset({"signature", "who", "signed"})  # the first is made of the rest, the others are found by it


class Signable(Protocol):
    """A command's Struct, as it travels: typed, with the id by which it is done once."""

    __struct_fields__: ClassVar[tuple[str, ...]]

    @property
    def id(self) -> str:
        """Made by whoever asks, the same when it is asked again."""

    @property
    def module(self) -> str:
        """The module that it is done to."""

    @property
    def expires_s(self) -> float:
        """For how long it is worth carrying out, from when it was signed."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a command is for: one AppManager, of one machine of one site. `instance`: `name@node`."""

    site: str
    machine: str
    instance: str = ""


def signed_bytes(type: str, command: Signable, target: Target, at_s: int) -> bytes:
    """What is signed of a command: `type` (what is asked of the AppManager), its fields, whom it is for, and when.

    A field that has its default value is left out, so that a newer desk and an older board agree until a new field is
    used; then the board, which doesn't know it, refuses. Raises PayloadInvalid for what JSON can't hold.
    """
    try:
        plain = msgspec.to_builtins(command)
        read = msgspec.convert(plain, command.__class__)  # as the receiver reads it: 600 becomes 600.0
        document = {
            "type": type,
            "site": target.site,
            "machine": target.machine,
            "instance": target.instance,
            "at_s": at_s,
            "command": _said(read),
        }
        return PREFIX + orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except (TypeError, msgspec.ValidationError) as error:
        raise PayloadInvalid(f"{type} of {command.module} can't be signed: {error}") from error


def _said(command: Any) -> dict[str, Any]:
    plain = msgspec.to_builtins(command)
    found = {}
    for field in structs.fields(command):
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        if field.name not in UNSIGNED and (default is msgspec.NODEFAULT or getattr(command, field.name) != default):
            found[field.name] = plain[field.name]
    return found
