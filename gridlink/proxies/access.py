"""Access: a site's policy, kept where a message is sent and again where it arrives. Without a rule: denied.

The sender's name is what its process says. Inside one interpreter modules trust each other; between processes the name
is worth what the NATS credentials of the process allow (`gridlink.proxies.policy.permissions`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gridlink.address import Address
from gridlink.errors import AccessDenied
from gridlink.message import Call, Message
from gridlink.proxies.around import Around, module_of
from gridlink.proxies.chain import Proxy
from gridlink.proxies.policy import Rule, allowed, target_of
from gridlink.proxies.scope import Coverage

_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """The policy. An empty one denies everything."""

    policy: tuple[Rule, ...]


class Policy(NamedTuple):
    """The rules, and where they are written."""

    rules: tuple[Rule, ...]
    where: str


class Access(Proxy):
    """Lets a message pass if the policy allows it."""

    settings_type = AccessSettings

    @classmethod
    def prepare(cls, settings: AccessSettings, directory: Path, where: str) -> Policy:
        """See Proxy."""
        return Policy(settings.policy, where)

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._decided: dict[tuple[str, Address, str], bool] = {}
        self._around: Around

    def attach(self, around: Around, coverage: Coverage) -> None:
        """See Proxy."""
        self._around = around

    def outgoing(self, call: Call) -> Call:
        """Denies the sender at once."""

        def allowed_out(message: Message) -> Awaitable[Any]:
            if not self._allows(message):
                raise self._denied(message)
            return call(message)

        return allowed_out

    def incoming(self, call: Call) -> Call:
        """Denies what a process sent that doesn't keep the policy itself."""

        def allowed_in(message: Message) -> Awaitable[Any]:
            if not self._allows(message):
                self._around.refused()
                raise self._denied(message)
            return call(message)

        return allowed_in

    def _allows(self, message: Message) -> bool:
        what = (message.source, message.address, message.type)
        decided = self._decided.get(what)
        if decided is None:
            if len(self._decided) >= _REMEMBERED:  # names are anybody's to invent
                self._decided.clear()
            decided = self._decided[what] = allowed(self._policy.rules, *what)
        return decided

    def _denied(self, message: Message) -> AccessDenied:
        source, to = message.source or "a program without a name", target_of(message.address)
        rule = f'{{"from": "{module_of(message.source) or "*"}", "to": "{to}", "types": ["{message.type}"]}}'
        return AccessDenied(
            f"{source} may not send {message.type} to {to}: no rule allows it in {self._policy.where}; if it should "
            f"be allowed, add {rule}",
            source=message.source,
            to=to,
            type=message.type,
        )
