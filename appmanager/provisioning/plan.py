"""What a command is going to do: enough to finish it or to undo it after a power cut. Data, as the journal has it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct, field, structs

from appmanager.provisioning.machine import Kind
from appmanager.provisioning.time_left import Moment, left_s
from gridlink.manifest import Name
from gridlink.node.plan import Choice


class Order(Struct, frozen=True):
    """A command as it comes. `id`: made by whoever asks, the same when it is asked again.

    `digest`: of the bundle, for install and update. `config`: a document that takes the place of config.json, which
    stays if there is none. `settings`: single values in it, by dotted names. `to`: the version to roll back to, empty
    for the last one. `mode`, `into`: how an operator wants a module that is installed to run; see `choice`. `taken`:
    when its `expires_s` began, as it is written down for the next start.
    """

    id: str
    kind: Kind
    module: Name
    digest: str = ""
    source: str = ""  # where the bundle is: a file, or an object of a store; whoever receives it knows
    config: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None
    to: str = ""
    older: bool = False  # install a lower version than what runs
    purge: bool = False  # uninstall: its data too
    keep_state: bool = False  # rollback: go on with the present state, not with the one that was kept
    who: str = ""
    signed: str = ""  # the public nkey of the operator who signed it, where that was checked
    expires_s: float = 600.0
    mode: Literal["", "node", "fork", "process"] = ""
    into: str = ""
    taken: Moment | None = None

    @property
    def choice(self) -> Choice | None:
        """How it is to run from now on, after a restart too; None where the operator doesn't say."""
        return Choice(self.mode or "node", self.into) if self.mode or self.into else None


class Plan(Struct, frozen=True):
    """An order, and where on the disk it takes place.

    `place`: the directory's name in the managed directory. `keep`: the number under which what runs now is kept,
    empty where nothing runs. `back`: the number that a rollback takes out. `was`, `becomes`: versions, for people.
    `had_config`: there was a config.json.
    """

    order: Order
    place: str
    keep: str = ""
    back: str = ""
    was: str = ""
    becomes: str = ""
    had_config: bool = False
    digests: dict[str, str] = field(default_factory=dict)  # `from`, `to`

    @property
    def module(self) -> str:
        """The module that it is done to."""
        return self.order.module

    @property
    def kind(self) -> Kind:
        """What is done."""
        return self.order.kind


def spelled(plan: Plan) -> dict[str, Any]:
    """A plan as the journal has it."""
    found: dict[str, Any] = msgspec.to_builtins(plan)
    return found


def read(document: dict[str, Any]) -> Plan:
    """The plan in a journal. Raises msgspec.ValidationError: another release wrote it."""
    return msgspec.convert(document, Plan)


def spelled_order(order: Order) -> dict[str, Any]:
    """An order as it is kept while it waits."""
    found: dict[str, Any] = msgspec.to_builtins(order)
    return found


def read_order(document: dict[str, Any]) -> Order:
    """The order that was kept. Raises msgspec.ValidationError: another release wrote it."""
    return msgspec.convert(document, Order)


def timed(order: Order, now: Moment) -> Order:
    """An order whose time begins now."""
    return structs.replace(order, taken=now)


def going_on(order: Order, now: Moment) -> Order:
    """An order that was cut off, with the time that it has left."""
    return structs.replace(order, expires_s=left_s(order.expires_s, order.taken, now), taken=None)
