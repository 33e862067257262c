"""A site's policy as the rights of its machines: what `gridlink init --cluster --policy` writes into `cluster.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gridlink.address import token
from gridlink.config import read_json, typed
from gridlink.errors import ConfigInvalid, TrustInvalid
from gridlink.proxies.access import AccessSettings
from gridlink.proxies.around import module_of
from gridlink.proxies.policy import Rule, permissions

RuleDocument = dict[str, Any]
COMMANDS = "gridlink"  # how a policy names them


def policy_in(file: Path) -> tuple[RuleDocument, ...]:
    """The rules of a site file's entry `access`, as they are written. Raises TrustInvalid, ConfigInvalid.

    Refused: several entries, and one with a `for`. A server's permissions are one list of what is allowed.
    """
    try:
        document = read_json(file)
    except OSError as error:
        raise TrustInvalid(f"--policy {file}: expected a site file, got: {error.strerror}") from error
    proxies = document.get("proxies", ()) if isinstance(document, Mapping) else ()
    entries = [one for one in proxies if isinstance(one, Mapping) and one.get("proxy") == "access"]
    if len(entries) != 1:
        raise TrustInvalid(f"--policy {file}: expected one entry 'access' among its proxies, got {len(entries)}")
    if "for" in entries[0]:
        raise TrustInvalid(
            f"--policy {file}: expected an entry 'access' for the whole site, got one with 'for': a server "
            "denies what no rule allows; take the 'for' out, and allow the rest by rules"
        )
    rules = entries[0].get("policy", ())
    read(rules, str(file))
    return tuple(rules)


def read(rules: Sequence[RuleDocument], where: str) -> tuple[Rule, ...]:
    """The rules. Raises ConfigInvalid."""
    settings: AccessSettings = typed({"policy": list(rules)}, AccessSettings, where)
    return settings.policy


def rights(
    rules: Sequence[RuleDocument], machines: Iterable[str], modules: Mapping[str, Sequence[str]], site: str
) -> dict[str, dict[str, Any]]:
    """The permissions of each machine's user. A machine that `modules` doesn't name may run any module.

    Commands have the operator's credentials, unless `modules` has their name for a machine.
    """
    try:
        policy = read(rules, "the policy")
    except ConfigInvalid as error:
        raise TrustInvalid(str(error)) from error
    anybody = sorted({module_of(sender) for rule in policy for sender in rule.senders} - {"*", COMMANDS})
    return {
        machine: permissions(policy, ("appmanager", *modules.get(machine, anybody)), machine, site)
        for machine in machines
    }


def modules_of(given: Iterable[str], machines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`board1=storage,oltc_controller` each. Raises TrustInvalid for a machine that isn't one."""
    found: dict[str, tuple[str, ...]] = {}
    known = set(machines)
    for text in given:
        machine, _, names = text.partition("=")
        if machine not in known:
            raise TrustInvalid(f"--modules names {machine!r}: expected one of --machines ({', '.join(sorted(known))})")
        modules = tuple(token(name.strip(), "--modules") for name in names.split(",") if name.strip())
        found[machine] = (*found.get(machine, ()), *modules)
    return found
