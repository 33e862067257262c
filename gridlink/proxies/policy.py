"""A policy: which module may send which type to which address. Pure. What no rule allows is denied.

`permissions` turns it into what a nats-server allows a process, so that the server keeps it for a process that lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gridlink.address import (
    NODE,
    NODE_COMMANDS,
    NODE_QUESTIONS,
    REGISTRY,
    ROOT,
    Address,
    readable,
    tap_seen,
    tap_wishes,
)
from gridlink.bus.durable.rights import transfer_rights
from gridlink.proxies.around import module_of

_NAME = r"(\*|[A-Za-z0-9_-]+)"
FORMS = {  # field: pattern, and what is expected
    "from": (rf"{_NAME}|[A-Za-z0-9_-]+@[A-Za-z0-9_-]+", "a module's name, name@node or *"),
    "to": (
        rf"\*|(role|topic) {_NAME}|instance {_NAME}(@[A-Za-z0-9_-]+)?",
        "role NAME, topic NAME, instance NAME, instance NAME@NODE or *",
    ),
    "types": (_NAME, "a message type or *"),
    "hears": (rf"(role|topic) {_NAME}", "role NAME or topic NAME"),
}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """`{"from": "voltage_problem_handler", "to": "role oltc", "types": ["setTapPosition"]}`; each may be a list.

    from: a module's name, `name@node`, or `*` (also programs without a name). to: `role NAME`, `topic NAME`,
    `instance NAME`, `instance NAME@NODE`, with `*` for any NAME, or `*` alone. types: all, if they are left out.
    hears: the roles that `from` may serve and the topics that it may hear; kept by a nats-server alone.
    """

    sender: str | tuple[str, ...]
    to: str | tuple[str, ...] = ()
    types: tuple[str, ...] = ("*",)
    hears: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.to and not self.hears:
            raise ValueError("a rule: expected `to`, `hears` or both, got neither")
        # not by patterns in the types: msgspec 0.22 corrupts the heap where a str with one is in a union with an array
        for field, given in (
            ("from", self.senders),
            ("to", self.targets),
            ("types", self.types),
            ("hears", self.hears),
        ):
            form, expected = FORMS[field]
            for text in given:
                if not re.fullmatch(form, text):
                    raise ValueError(f"{field}: expected {expected}, got {text!r}")

    @property
    def senders(self) -> tuple[str, ...]:
        """Who may send."""
        return (self.sender,) if isinstance(self.sender, str) else self.sender

    @property
    def targets(self) -> tuple[str, ...]:
        """Where to."""
        return (self.to,) if isinstance(self.to, str) else self.to

    def allows(self, source: str, to: Address, type: str) -> bool:
        """Whether it allows `source` (`name@node`) to send `type` to the address."""
        return (
            ("*" in self.types or type in self.types)
            and any(sender in ("*", source, module_of(source)) for sender in self.senders)
            and any(_meant(target, to) for target in self.targets)
        )


REPLY_WITHIN = "1h"  # as long as a request may wait
REPLIES = 1  # to a request: a nats-server forgets a request soon after its last reply, and else only after REPLY_WITHIN
PROCESSES = ("", "-2")  # that a node starts for a module: one, and its successor while it moves
APPMANAGER = "appmanager"

MANAGERS = Rule(APPMANAGER, "instance nodemanager")
"""Always allowed: without it, a policy that forgets it would keep a site from starting."""


def allowed(policy: Iterable[Rule], source: str, to: Address, type: str) -> bool:
    """Whether a rule of the policy allows it."""
    return MANAGERS.allows(source, to, type) or any(rule.allows(source, to, type) for rule in policy)


def target_of(to: Address) -> str:
    """An address as rules write it."""
    return f"instance {readable(to)}" if to.startswith("instance.") else readable(to)


def _meant(target: str, to: Address) -> bool:
    if target == "*":
        return True
    kind, _, name = target.partition(" ")
    if not to.startswith(f"{kind}."):
        return False
    if kind != "instance":
        return name in ("*", to.partition(".")[2])
    return name in ("*", readable(to), module_of(readable(to)))


def permissions(policy: Sequence[Rule], modules: Iterable[str], node: str, site: str) -> dict[str, Any]:
    """The `permissions` of a nats-server's user for a node, and the processes it starts, that run these modules.

    It may publish what the policy allows any of them, what every node says (registry, questions to other nodes), what
    moves and manages modules on itself, and a reply to each request. It hears what the policy says its modules hear,
    what is for its own instances, the registry, and the replies to its own requests. It shows taps what it sees, and
    can't be one. It has nothing of JetStream but to fetch files.
    """
    names = frozenset(modules)
    prefix = f"{ROOT}.{site}."
    processes = [f"{node}-{name}{again}" for name in sorted(names) for again in PROCESSES]
    own = [f"{prefix}instance.{one}" for one in (node, *processes)]
    publish = [f"{prefix}{REGISTRY}.*", f"{prefix}instance.*._registry.*", tap_seen(site, "*")]
    publish += [f"{prefix}instance.*.{NODE}.{question}" for question in NODE_QUESTIONS]
    publish += [f"{one}.{NODE}.*" for one in own]
    hears = [f"{prefix}{REGISTRY}.*", f"{prefix}instance.*._registry.*", *(f"{one}.>" for one in own)]
    hears += [f"_INBOX.{node}.>", "$SRV.>", tap_wishes(site)]
    if APPMANAGER in names:
        publish += [f"{one}.nodemanager.*" for one in own]
        hears.append(f"{prefix}role.{APPMANAGER}.*")
    for rule in policy:
        if any(_runs(sender, names, node) for sender in rule.senders):
            patterns = [pattern for target in rule.targets for pattern in _patterns(target)]
            publish += [f"{prefix}{pattern}.{one}" for pattern in patterns for one in rule.types]
            hears += [_heard(prefix, one) for one in rule.hears]
    publish += transfer_rights(site)
    sending: dict[str, list[str]] = {"allow": list(dict.fromkeys(publish))}
    if any(subject.startswith(f"{prefix}instance.*.*.") for subject in publish):  # any module's, not the node's own
        sending["deny"] = [f"{prefix}instance.*.{NODE}.{command}" for command in NODE_COMMANDS]
    return {
        "publish": sending,
        "subscribe": {"allow": list(dict.fromkeys(hears))},
        "allow_responses": {"max": REPLIES, "expires": REPLY_WITHIN},
    }


def _runs(sender: str, modules: frozenset[str], node: str) -> bool:
    """Whether a rule's sender may be one of the modules on the node, or on one of the processes `node-…` it starts."""
    if sender == "*":
        return True
    name, _, at = sender.partition("@")
    return module_of(name) in modules and (not at or at == node or at.startswith(f"{node}-"))


def _heard(prefix: str, target: str) -> str:
    """What to subscribe to for an entry of `hears`."""
    kind, _, name = target.partition(" ")
    return f"{prefix}{kind}.>" if name == "*" else f"{prefix}{kind}.{name}.*"


def _patterns(target: str) -> tuple[str, ...]:
    """The subjects of a target, without the type."""
    if target == "*":
        return ("role.*", "topic.*", "instance.*.*")
    kind, _, name = target.partition(" ")
    if kind != "instance":
        return (f"{kind}.{name}",)
    name, _, node = name.partition("@")
    return (f"instance.{node or '*'}.{name}",)
