"""Who asks an AppManager for something, and whether they may: one of the site's operators, where it lists some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appmanager.orders import Signature
from gridlink.errors import AccessDenied

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager
    from appmanager.operators.signed import Signable
    from appmanager.turns import Turns


@dataclass(frozen=True, slots=True)
class Asker:
    """As the record shows them. `nkey`: the public key by which the command was signed, where that was checked."""

    who: str
    nkey: str = ""


class Command(Protocol):
    """A command that may be signed."""

    @property
    def who(self) -> str:
        """Who says to have sent it."""

    @property
    def signature(self) -> Signature | None:
        """An operator's."""


async def asker_of(manager: AppManager, type: str, command: Command, checks: Turns) -> Asker:
    """Who asks. `checks`: of signatures, each of which takes a process.

    Raises AccessDenied where the site lists operators and none of them has signed the command; Busy: too many are
    checked already.
    """
    if not manager.operators:
        return Asker(command.who)
    from appmanager.operators.signed import Target  # noqa: PLC0415 - where a site lists operators
    from appmanager.operators.verifying import operator_of  # noqa: PLC0415

    target = Target(manager.hosting.site, manager.hosting.machine, manager.instance)
    signable: Signable = command  # type: ignore[assignment]
    try:
        async with checks.turn():
            name = await operator_of(manager.operators, type, signable, command.signature, target)
    except AccessDenied as error:
        manager.log.warning("denied: %s", error)
        raise
    return Asker(name, command.signature.nkey if command.signature is not None else "")
