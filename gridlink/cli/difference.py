"""What leads from the modules that a machine has to those that are declared: commands in order, with reasons. Pure.

Carrying the commands out gives the declared state, and comparing again gives no command. Modules come in the order of
the file, but after those whose roles they use; what is uninstalled comes last, its users first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from appmanager.orders import Installed
from gridlink.errors import Refused
from gridlink.node.plan import NODEMANAGER

MAX_VALUE = 60  # letters of a value that people are shown
MISSING = object()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A module as it is declared. Empty is: as it is. `digest`, `source`, `bundle_…`, `uses` are its bundle's."""

    name: str
    version: str = ""
    digest: str = ""
    source: str = ""
    mode: str = ""
    into: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # by dotted names
    config: Mapping[str, Any] | None = None
    absent: bool = False
    bundle_mode: str = "node"
    bundle_into: str = ""
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A command. `order`: its own fields, as the AppManager takes them. `reasons`: what is other, for people."""

    word: Literal["install", "update", "configure", "move", "uninstall"]
    module: str
    order: Mapping[str, Any]
    reasons: tuple[str, ...]

    @property
    def line(self) -> str:
        """As people read it."""
        sign = {"install": "+", "uninstall": "-"}.get(self.word, "~")
        return f"{sign} {self.word} {self.module} {', '.join(self.reasons)}".rstrip()


def difference(wanted: Sequence[Wanted], actual: Sequence[Installed], *, prune: bool = False) -> list[Step]:
    """The commands. `prune`: what isn't declared goes. Raises Refused with all that stands in the way."""
    here = {one.name: one for one in actual}
    steps: dict[str, list[Step]] = {}
    refused: list[str] = []
    for one in wanted:
        try:
            steps[one.name] = _steps(one, here.get(one.name))
        except Refused as error:
            refused.append(f"{one.name}: {error}")
    if refused:
        raise Refused("; ".join(refused))
    declared = {one.name: one for one in wanted}
    pruned = [one.name for one in actual if prune and one.name not in declared and not one.protected]
    steps |= {name: [Step("uninstall", name, {}, (here[name].version, "(not declared)"))] for name in pruned}
    going = [name for name, its in steps.items() if its and its[0].word == "uninstall"]
    staying = [name for name in steps if name not in going]
    after = {name: _needs(declared.get(name), here.get(name), here) for name in steps}
    order = [*in_order(staying, after), *reversed(in_order(going, after))]
    return [step for name in order for step in steps[name]]


def in_order(names: Sequence[str], after: Mapping[str, frozenset[str]]) -> list[str]:
    """The names as they come, but each after those that it comes `after`; of a circle the first one goes first."""
    left, found = list(names), []
    while left:
        free = (name for name in left if not (after[name] - {name}) & set(left))
        found.append(next(free, left[0]))
        left.remove(found[-1])
    return found


def _needs(wanted: Wanted | None, here: Installed | None, all_here: Mapping[str, Installed]) -> frozenset[str]:
    """The modules that are to run before it: those that serve its roles (or are named as them), its NodeManager."""
    uses = wanted.uses if wanted is not None and wanted.source else here.uses if here is not None else ()
    serving = {one.name for one in all_here.values() if set(one.roles) & set(uses)}
    into = {wanted.into if wanted is not None and wanted.into else here.into if here is not None else ""}
    return frozenset(serving | set(uses) | into)


def _steps(wanted: Wanted, here: Installed | None) -> list[Step]:
    if wanted.absent:
        return [] if here is None else [_protected(Step("uninstall", wanted.name, {}, (here.version,)), here)]
    first = _installed(wanted) if here is None else _changed(wanted, here)
    steps = [first] if first is not None else []
    if here is None or (first is not None and first.word == "update" and not here.chosen):
        mode, into = wanted.bundle_mode, wanted.bundle_into or NODEMANAGER
    else:
        mode, into = here.mode, here.into
    to = wanted.mode or ("node" if wanted.into else "")
    if to and (mode != to or (wanted.into and wanted.into != into)):
        where = f"{to} ({wanted.into})" if wanted.into else to
        steps.append(Step("move", wanted.name, {"mode": to, "into": wanted.into}, (f"{mode} -> {where}",)))
    return steps if here is None else [_protected(step, here) for step in steps]


def _protected(step: Step, here: Installed) -> Step:
    if here.protected:
        raise Refused("it runs the node: it is changed with Gridlink's own package, and never removed")
    return step


def _installed(wanted: Wanted) -> Step:
    if not wanted.source:
        what = f"version {wanted.version} of it" if wanted.version else "it"
        raise Refused(f"it isn't installed, and no bundle of {what} is at hand: name it, as `bundle`")
    order = {"digest": wanted.digest, "source": wanted.source, **_configuration(wanted, dict(wanted.settings))}
    return Step("install", wanted.name, order, (wanted.version,))


def _changed(wanted: Wanted, here: Installed) -> Step | None:
    """An update, which takes the configuration with it, or a change of configuration alone."""
    settings, reasons = _other_values(wanted, here)
    if not _is_other(wanted, here):
        if not reasons:
            return None
        return Step("configure", wanted.name, _configuration(wanted, settings), tuple(reasons))
    if not wanted.source:
        raise Refused(
            f"{here.version} runs, and no bundle of version {wanted.version} is at hand: name it, as `bundle`"
        )
    same = " (another bundle)" if here.version == wanted.version else ""
    order = {"digest": wanted.digest, "source": wanted.source, "older": True}
    configuration = _configuration(wanted, settings) if reasons else {}
    what = f"{here.version} -> {wanted.version}{same}"
    return Step("update", wanted.name, {**order, **configuration}, (what, *reasons))


def _configuration(wanted: Wanted, settings: dict[str, Any]) -> dict[str, Any]:
    if wanted.config is not None:
        return {"config": dict(wanted.config)}
    return {"settings": settings} if settings else {}


def _is_other(wanted: Wanted, here: Installed) -> bool:
    if wanted.digest and here.digest:
        return wanted.digest != here.digest
    return bool(wanted.version) and wanted.version != here.version  # it was put there by hand, or no bundle is at hand


def _other_values(wanted: Wanted, here: Installed) -> tuple[dict[str, Any], list[str]]:
    """The settings that are other, and what is said of them."""
    if wanted.config is not None:
        if here.config is None:
            return {}, ["config.json, which can't be read"]
        if canonical(here.config) == canonical(wanted.config):
            return {}, []
        return {}, _said(here.config, wanted.config, sorted({*here.config, *wanted.config}))
    if not wanted.settings:
        return {}, []
    if here.config is None:
        raise Refused("its config.json can't be read: give all of it, as `config`")
    settings = {
        name: value
        for name, value in wanted.settings.items()
        if (now := value_of(here.config, name)) is MISSING or canonical(now) != canonical(value)
    }
    return settings, [
        f"{name} {_shown(value_of(here.config, name))} -> {_shown(new)}" for name, new in settings.items()
    ]


def _said(now: Mapping[str, Any], to: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    pairs = [(name, now.get(name, MISSING), to.get(name, MISSING)) for name in names]
    return [
        f"{name} {_shown(old)} -> {_shown(new)}"
        for name, old, new in pairs
        if MISSING in (old, new) or canonical(old) != canonical(new)
    ]


def value_of(config: Mapping[str, Any], name: str) -> Any:
    """The value of a setting by its dotted name; MISSING where there is none."""
    found: Any = config
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return MISSING
        found = found[part]
    return found


def canonical(value: Any) -> bytes:
    """JSON that is the same for values that are the same."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _shown(value: Any) -> str:
    if value is MISSING:
        return "(none)"
    text = canonical(value).decode()
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
