"""The commands that lead from what a machine has to what is declared: they do so, and then there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from appmanager.orders import Installed
from appmanager.provisioning.configuration import changed
from gridlink.cli.applying import command_id
from gridlink.cli.difference import MISSING, Step, Wanted, canonical, difference, in_order, value_of
from gridlink.errors import Refused

NAMES = ("a", "b", "c", "d")
VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.floats(0, 1), st.text("xy", max_size=2))
CONFIGS = st.dictionaries(st.sampled_from(("k", "l")), st.one_of(VALUES, st.dictionaries(st.just("m"), VALUES)))
SETTINGS = st.dictionaries(st.sampled_from(("k", "l", "n")), VALUES)
MODES = st.sampled_from((("node", "nodemanager"), ("node", "node2"), ("fork", ""), ("process", "")))
USES = st.lists(st.sampled_from(NAMES), unique=True, max_size=2).map(tuple)
VERSIONS = ("1.0.0", "1.1.0")
DIGESTS = {"1.0.0": "d10", "1.1.0": "d11"}


@st.composite
def installed(draw: st.DrawFn, name: str) -> Installed:
    """A module as it may be."""
    version = draw(st.sampled_from(VERSIONS))
    mode, into = draw(MODES)
    digest = draw(st.sampled_from((DIGESTS[version], "other", "")))
    config = draw(CONFIGS)
    return Installed(name, version, digest, mode, into, draw(st.booleans()), False, config, (name,), draw(USES))


@st.composite
def wanted(draw: st.DrawFn, name: str) -> Wanted:
    """A module as it may be declared, with a bundle at hand."""
    if draw(st.integers(0, 4)) == 0:
        return Wanted(name, absent=True)
    version = draw(st.sampled_from(VERSIONS))
    mode, into = draw(st.one_of(MODES, st.just(("", "")), st.just(("node", ""))))
    bundle_mode, bundle_into = draw(MODES)
    whole = draw(st.booleans())
    return Wanted(
        name,
        version,
        DIGESTS[version],
        f"{name}-{version}.glb",
        mode,
        into,
        {} if whole else draw(SETTINGS),
        draw(CONFIGS) if whole else None,
        bundle_mode=bundle_mode,
        bundle_into=bundle_into,
        uses=draw(USES),
    )


ACTUAL = st.lists(st.sampled_from(NAMES), unique=True).flatmap(lambda names: st.tuples(*map(installed, names)))
WANTED = st.lists(st.sampled_from(NAMES), unique=True).flatmap(lambda names: st.tuples(*map(wanted, names)))


def applied(step: Step, machine: dict[str, Installed], declared: dict[str, Wanted]) -> None:
    """What an AppManager makes of a command."""
    name, order = step.module, step.order
    here, its = machine.get(name), declared.get(name)
    if step.word == "uninstall":
        del machine[name]
        return
    if step.word == "move":
        into = (order["into"] or "nodemanager") if order["mode"] == "node" else ""
        assert here is not None
        machine[name] = structs.replace(here, mode=order["mode"], into=into, chosen=True)
        return
    config: Any = order.get("config")
    if config is None:
        config = changed((here.config if here is not None else None) or {}, order.get("settings") or {})
    if step.word == "configure":
        assert here is not None
        machine[name] = structs.replace(here, config=config)
        return
    assert its is not None
    assert (step.word == "install") == (here is None)
    if here is not None and here.chosen:
        mode, into = here.mode, here.into
    else:
        mode, into = its.bundle_mode, (its.bundle_into or "nodemanager") if its.bundle_mode == "node" else ""
    chosen = here is not None and here.chosen
    version = next(version for version, digest in DIGESTS.items() if digest == order["digest"])
    machine[name] = Installed(name, version, order["digest"], mode, into, chosen, False, config, (name,), its.uses)


def fits(declared: Wanted, here: Installed | None) -> bool:
    """Whether a module is as it is declared."""
    if declared.absent or here is None:
        return declared.absent and here is None
    config = here.config or {}
    return (
        here.version == declared.version
        and here.digest in (declared.digest, "")
        and declared.mode in ("", here.mode)
        and declared.into in ("", here.into)
        and (declared.config is None or canonical(declared.config) == canonical(config))
        and all(
            (now := value_of(config, key)) is not MISSING and canonical(now) == canonical(value)
            for key, value in declared.settings.items()
        )
    )


@given(ACTUAL, WANTED, st.booleans())
def test_carrying_the_commands_out_gives_what_is_declared_and_then_there_are_none(
    actual: Sequence[Installed], declared: Sequence[Wanted], prune: bool
) -> None:
    """Whatever is there, and whatever is declared; what isn't declared stays, unless it is to go."""
    machine, by_name = {one.name: one for one in actual}, {one.name: one for one in declared}
    for step in difference(declared, actual, prune=prune):
        applied(step, machine, by_name)
    assert all(fits(one, machine.get(one.name)) for one in declared)
    others = {one.name: one for one in actual if one.name not in by_name}
    assert {name: one for name, one in machine.items() if name not in by_name} == ({} if prune else others)
    assert difference(declared, list(machine.values()), prune=prune) == []


@given(ACTUAL, WANTED)
def test_a_module_comes_after_those_that_it_uses_and_goes_before_them(
    actual: Sequence[Installed], declared: Sequence[Wanted]
) -> None:
    """As far as they don't use each other in a circle."""
    steps = difference(declared, actual, prune=True)
    uses = {one.name: set(one.uses) for one in actual} | {one.name: set(one.uses) for one in declared if one.source}
    came = [step.module for step in steps if step.word == "install"]
    for number, name in enumerate(came):
        later = set(came[number + 1 :]) & uses[name]
        assert all(in_a_circle(name, other, uses) for other in later)
    words = [step.word == "uninstall" for step in steps]
    assert words == sorted(words)


def in_a_circle(name: str, other: str, uses: dict[str, set[str]]) -> bool:
    """Whether any circle of uses can be reached from the one: then no order is right for all."""
    seen, left = set[str](), [name]
    while left:
        one = left.pop()
        for used in uses.get(one, set()) - {one}:
            if used in seen or used == name:
                return True
            seen.add(used)
            left.append(used)
    return False


def test_the_order_is_that_of_the_file_where_nothing_speaks_against_it() -> None:
    """An operator finds the steps in the order in which the modules were written down."""
    assert in_order(["c", "a", "b"], {"a": frozenset({"b"}), "b": frozenset(), "c": frozenset()}) == ["c", "b", "a"]
    circle = {"a": frozenset({"b"}), "b": frozenset({"a"})}
    assert in_order(["a", "b"], circle) == ["a", "b"]


def test_the_lines_say_what_is_other() -> None:
    """What an operator reads before saying yes."""
    here = Installed("guard", "1.0.0", "d10", "node", "nodemanager", False, False, {"limit": 3}, ("guard",), ())
    lamp = structs.replace(here, name="lamp")
    declared = [
        Wanted("guard", "1.0.0", settings={"limit": 4}, mode="fork"),
        Wanted("lamp", "1.1.0", "d11", "lamp.glb"),
        Wanted("bell", "1.0.0", "d10", "bell.glb"),
    ]
    assert [
        step.line for step in difference(declared, [here, lamp, structs.replace(here, name="old")], prune=True)
    ] == [
        "~ configure guard limit 3 -> 4",
        "~ move guard node -> fork",
        "~ update lamp 1.0.0 -> 1.1.0",
        "+ install bell 1.0.0",
        "- uninstall old 1.0.0, (not declared)",
    ]


def test_all_that_stands_in_the_way_is_said_at_once() -> None:
    """And not one after the other, apply after apply."""
    node = Installed("nodemanager", "1.0.0", "", "process", "", False, True, {}, (), ())
    broken = structs.replace(node, name="broken", protected=False, config=None)
    declared = [
        Wanted("new"),
        Wanted("nodemanager", absent=True),
        Wanted("broken", "2.0.0"),
        Wanted("other", "1.0.0"),
    ]
    with pytest.raises(Refused) as refused:
        difference(declared, [node, broken])
    assert all(f"{one.name}: " in str(refused.value) for one in declared)
    with pytest.raises(Refused, match=r"config\.json can't be read"):
        difference([Wanted("broken", settings={"k": 1})], [broken])
    assert difference([], [node], prune=True) == []


def test_a_command_has_the_same_id_until_one_of_its_module_has_ended() -> None:
    """So that an apply repeated after a lost link does nothing twice, and one after a failure is done."""
    step = Step("update", "lamp", {"digest": "d", "source": "here"}, ())
    again = replace(step, order={"digest": "d", "source": "store:elsewhere"})
    first = command_id("a", "appmanager@n", step, "")
    assert command_id("a", "appmanager@n", again, "") == first
    others = {
        command_id("b", "appmanager@n", step, ""),
        command_id("a", "appmanager@n", step, first),
        command_id("a", "appmanager@n", replace(step, order={"digest": "e"}), ""),
        command_id("a", "appmanager@n", replace(step, module="bell"), ""),
    }
    assert len(others | {first}) == 5
