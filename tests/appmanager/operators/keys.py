"""Operators with real nkeys, and commands that they sign."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import nkeys

from appmanager.operators.signed import Target
from appmanager.operators.signing import sign
from appmanager.orders import Signature
from appmanager.provisioning.machine import Kind
from appmanager.provisioning.plan import Order
from gridlink.cli.certificates import user
from gridlink.proxies.site import Operator

HERE = Target("west", "board1")
ORDER = Order("c1", Kind.UPDATE, "lamp", "d" * 64, "store:x", settings={"watt": 40, "warm": 0.5}, expires_s=600)


@dataclass(frozen=True)
class Person:
    """An operator and the file with their seed."""

    operator: Operator
    seed_file: Path

    def signs(self, order: Order = ORDER, target: Target = HERE, now_s: float | None = None) -> Signature:
        """Their signature of an update."""
        return sign("update", order, target, self.seed_file, time.time() if now_s is None else now_s)


def person(directory: Path, name: str) -> Person:
    """A new one, whose key is made as `gridlink init` does."""
    file = directory / f"{name}.nk"
    return Person(Operator(name, user(file)), file)


def seed_of_account() -> bytes:
    """A seed that is no user's."""
    return bytes(nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_ACCOUNT))
