"""Whom a message to an address may reach, as the registry knows it. Each answer is remembered until something changes.

It is asked for on a message's way: a site of a thousand instances isn't gone through for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gridlink.address import Address
from gridlink.lifecycle import State
from gridlink.registry.entry import Entry

MAX_REMEMBERED = 1024  # addresses; anybody may ask about any


class Reach:
    """What the instances of a site serve, as node `node` sees it. `entries`: all there are now."""

    def __init__(self, node: str, entries: Callable[[], Sequence[Entry]]) -> None:
        self._node, self._entries = node, entries
        self._shares: dict[Address, float] = {}
        self._behind: dict[Address, tuple[Entry, ...]] = {}
        self._twice: dict[tuple[Address, str], bool] = {}

    def forget(self) -> None:
        """An instance has come, gone or changed."""
        self._shares.clear()
        self._behind.clear()
        self._twice.clear()

    def behind(self, address: Address) -> tuple[Entry, ...]:
        """The instances, whatever their state, that a message to the address may reach."""
        known = self._behind.get(address)
        if known is None:
            _make_room(self._behind)
            known = self._behind[address] = tuple(entry for entry in self._entries() if _is_behind(entry, address))
        return known

    def own_share(self, address: Address) -> float:
        """Which part of a role's RUNNING members is on this node; 1 where it has none or isn't known."""
        known = self._shares.get(address)
        if known is None:
            _make_room(self._shares)
            members = self._running(address)
            own = sum(entry.node == self._node for entry in members)
            known = self._shares[address] = own / len(members) if members else 1.0
        return known

    def idempotent(self, address: Address, type: str) -> bool:
        """Whether a request of that type to the role or instance may be done twice: all who serve it say so."""
        found = self._running(address)
        return bool(found) and all(type in entry.idempotent for entry in found)

    def twice_elsewhere(self, address: Address, type: str) -> bool:
        """Whether a request may be done twice and may reach another node, which may die with it."""
        known = self._twice.get((address, type))
        if known is None:
            _make_room(self._twice)
            elsewhere = any(entry.node != self._node for entry in self.behind(address))
            known = self._twice[address, type] = elsewhere and self.idempotent(address, type)
        return known

    def _running(self, address: Address) -> list[Entry]:
        return [entry for entry in self.behind(address) if entry.state is State.RUNNING]


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= MAX_REMEMBERED:
        remembered.clear()


def _is_behind(entry: Entry, address: Address) -> bool:
    kind, _, name = address.partition(".")
    if kind == "instance":
        node, _, instance = name.partition(".")
        return entry.instance == f"{instance}@{node}"
    return name in (entry.roles if kind == "role" else entry.subscribes)
