"""What the registry says of one instance and of one node. Pure data, as it travels."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from gridlink.clock import Reference
from gridlink.errors import PayloadInvalid
from gridlink.lifecycle import State

Digests = dict[str, dict[str, str]]


class Entry(Struct, frozen=True):
    """One instance. `requests`, `publishes` and `subscribes` name types by the digests of their schemas."""

    name: str
    instance: str  # name@node
    node: str
    machine: str
    pid: int
    version: str
    mode: str
    state: State
    reason: str = ""  # why it is FAILED or waits, or doesn't run in the mode that was asked for
    roles: tuple[str, ...] = ()
    idempotent: tuple[str, ...] = ()  # request types that may be done twice
    topics: tuple[str, ...] = ()  # that it publishes on
    description: str = ""
    requests: Digests = field(default_factory=dict)  # type -> {"payload": digest, "reply": digest}
    publishes: Digests = field(default_factory=dict)  # topic -> {type: digest}
    subscribes: Digests = field(default_factory=dict)
    managed_by: tuple[str, ...] = ()  # instances of the AppManager and NodeManager that started it


class Announcement(Struct, frozen=True):
    """All entries of a node at a version. `boot` differs with each start of the node's process."""

    node: str
    machine: str
    boot: str
    version: int
    entries: tuple[Entry, ...]
    peers: tuple[str, ...] = ()  # the nodes the announcer knows, so that a newcomer knows whom to wait for
    clock: Reference | None = None


class Update(Struct, frozen=True):
    """What has changed in a node's entries since the version before: those that are new or other, and who is `gone`.

    All entries of a node with many modules, at each change of one of them, would be half a megabyte each time.
    """

    node: str
    boot: str
    version: int
    entries: tuple[Entry, ...] = ()
    gone: tuple[str, ...] = ()


class Heartbeat(Struct, frozen=True):
    """Sent each second; a version that we don't have means that an announcement or update was missed."""

    node: str
    boot: str
    version: int
    clock: Reference | None = None


class Sync(Struct, frozen=True):
    """A newcomer's call to every node (or to one, `to`) to announce itself to it."""

    node: str
    to: str = ""


class Leave(Struct, frozen=True):
    """A node's clean end."""

    node: str
    boot: str


KINDS: dict[str, type] = {
    "announce": Announcement,
    "update": Update,
    "heartbeat": Heartbeat,
    "sync": Sync,
    "leave": Leave,
}
"""The registry's messages by their type."""


def encoded(word: Announcement | Update | Heartbeat | Sync | Leave) -> bytes:
    """A message of the registry as it travels. Raises PayloadInvalid for text that JSON can't hold.

    Not by gridlink.codec, which checks what it has encoded: 20 modules take it 2 ms, and a newcomer asks every node.
    """
    try:
        return msgspec.json.encode(word)
    except UnicodeEncodeError as error:
        raise PayloadInvalid(f"the registry can't say it in JSON: {error}: look for a name or text in bytes") from error
