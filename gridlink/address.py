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
NODE = "_node"  # the instance name under which a node itself answers; no module can have it
REGISTRY = Address("registry")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


@lru_cache(maxsize=2048)
def token(name: str, what: str) -> str:
    """`name`, if it is a token (`[A-Za-z0-9_-]+`), else AddressInvalid that says `what` it was to be."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise AddressInvalid(f"{what}: expected a name of letters, digits, '_' and '-', got {name!r}")
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


def receiver(name: str) -> Address:
    """The address of a role (`storage`) or of an instance (`storage@node`)."""
    return instance(name) if "@" in name else role(name)


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


def readable(address: Address) -> str:
    """The address as people say it: `role oltc`, `topic measurement`, `storage@board7`."""
    kind, _, name = address.partition(".")
    if kind == "instance":
        node, _, instance_name = name.partition(".")
        return f"{instance_name}@{node}"
    return f"{kind} {name}"
