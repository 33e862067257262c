"""Addresses and the NATS subjects they stand for. An address is a subject without `gl.<site>.` and without the type.

`role.oltc`, `topic.measurement`, `instance.board7.storage`, `registry`: plain strings, so that looking one
up costs a hash that Python has already computed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NewType

from gridlink.errors import AddressInvalid

Address = NewType("Address", str)

ROOT = "gl"
TAP_ROOT = "gl-tap"  # apart from ROOT, so that who may hear a site's messages may not yet tap its nodes
NODE = "_node"  # the instance name under which a node itself answers; no module can have it
NODE_QUESTIONS = (
    "schema",
    "who",
    "counters",
    "imports",
    "footprint",
    "stacks",
    "health",
)  # any node may ask: they read
NODE_COMMANDS = ("configure", "hold", "resume", "waiting", "take", "objects", "allocations")  # stop or burden it
REGISTRY = Address("registry")
TOKEN = "[A-Za-z0-9_-]+"
_TOKEN = re.compile(TOKEN)
MAX_TOKEN = 255  # letters; a nats-server ends the connection of whoever sends a subject of 4096


@lru_cache(maxsize=2048)
def token(name: str, what: str) -> str:
    """`name`, if it is a token (`[A-Za-z0-9_-]+`), else AddressInvalid that says `what` it was to be."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise AddressInvalid(f"{what}: expected a name of letters, digits, '_' and '-', got {name!r}")
    if len(name) > MAX_TOKEN:
        raise AddressInvalid(
            f"{what}: expected at most {MAX_TOKEN} letters, got {len(name)}: {name[:40]}…: choose a shorter name"
        )
    return name


@lru_cache(maxsize=1024)
def role(name: str) -> Address:
    """The address that reaches one of the modules registered for the role."""
    return Address(f"role.{token(name, 'role')}")


@lru_cache(maxsize=1024)
def topic(name: str) -> Address:
    """The address that reaches all modules registered for the topic."""
    return Address(f"topic.{token(name, 'topic')}")


@lru_cache(maxsize=1024)
def instance(name_at_node: str) -> Address:
    """The address of one instance, given as `name@node`."""
    name, at, node = name_at_node.partition("@")
    if not at:
        raise AddressInvalid(f"instance: expected name@node, got {name_at_node!r}")
    return Address(f"instance.{token(node, 'node')}.{token(name, 'instance')}")


def is_instance(address: Address) -> bool:
    """Whether it is the address of a module's instance; the node's own isn't one."""
    return address.startswith("instance.") and not address.rpartition(".")[2].startswith("_")


@lru_cache(maxsize=2048)
def receiver(name: str) -> Address:
    """The address of a role (`storage`) or of an instance (`storage@node`)."""
    try:
        return instance(name) if "@" in name else role(name)
    except TypeError as error:
        raise AddressInvalid(f"receiver: expected the name of a role or name@node, got {name!r}") from error


def subject(site: str, address: Address, type: str) -> str:
    """The NATS subject of a message of `type` to `address`."""
    return f"{ROOT}.{site}.{address}.{type}"


def parse(subject_name: str) -> tuple[str, Address, str]:
    """Site, address and type of a subject that `subject` made; AddressInvalid for any other."""
    root, _, rest = subject_name.partition(".")
    site, _, rest = rest.partition(".")
    stem, dot, type_name = rest.rpartition(".")
    if root != ROOT or not dot or not stem or not type_name:
        raise AddressInvalid(f"subject: expected {ROOT}.<site>.<address>.<type>, got {subject_name!r}")
    return site, Address(stem), type_name


def tap_wishes(site: str) -> str:
    """The NATS subject on which taps say what they want to see."""
    return f"{TAP_ROOT}.{site}.wish"


def tap_seen(site: str, node: str) -> str:
    """The NATS subject on which a node shows taps what it has seen."""
    return f"{TAP_ROOT}.{site}.seen.{node}"


def readable(address: Address) -> str:
    """The address as people say it: `role oltc`, `topic measurement`, `storage@board7`."""
    kind, _, name = address.partition(".")
    if kind == "instance":
        node, _, instance_name = name.partition(".")
        return f"{instance_name}@{node}"
    return f"{kind} {name}"
