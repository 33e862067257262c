"""Which bundles run, how, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.errors import ConfigInvalid, ManifestInvalid
from gridlink.manifest import Manifest, parse
from gridlink.node.choices import put_choices_aside, read_choices, write_choices
from gridlink.node.plan import NODEMANAGER_ENTRY, Choice, Policy, plan, read_plan, startable


def manifest(name: str, **fields: Any) -> Manifest:
    """A manifest with the least that it needs."""
    return parse({"name": name, "version": "1.0.0", "entry": f"{name}:Module", **fields}, "module.json")


@pytest.mark.parametrize(
    ("asked", "policy", "mode"),
    [
        ("node", Policy(), "node"),
        ("process", Policy(), "process"),
        ("fork", Policy(), "fork"),
        ("node", Policy(mode="process"), "process"),
        ("process", Policy(mode="node"), "node"),
        ("node", Policy(nodemanager=False), "process"),
        ("node", Policy(modes={"a": "fork"}), "fork"),
        ("node", Policy(mode="process", modes={"a": "fork"}), "process"),
        ("node", Policy(mode="process", modes={"a": "process"}, chosen={"a": Choice("fork")}), "fork"),
        ("fork", Policy(chosen={"a": Choice("node")}, moved={"a": "it hung"}), "fork"),
    ],
)
def test_the_mode_is_the_operators_then_the_policys_then_the_manifests(asked: str, policy: Policy, mode: str) -> None:
    """`--mode process --without-nodemanager` is the paper's old solution exactly."""
    (planned,) = plan([(Path("/m/a"), manifest("a", mode=asked))], policy)
    assert (planned.mode, planned.refused) == (mode, "")


def test_a_module_that_made_its_node_be_replaced_runs_in_fork_or_not_at_all() -> None:
    """Back in the node it would hang it again; on the in-process bus there is nowhere else."""
    hung = {"a": "a held the event loop for 1.6 s"}
    found: list[tuple[Path, Any]] = [(Path("/m/a"), manifest("a")), (Path("/m/b"), manifest("b"))]
    assert [(p.mode, p.refused) for p in plan(found, Policy(moved=hung))] == [("fork", ""), ("node", "")]
    alone = plan(found, Policy(moved=hung, processes=False))
    assert [(p.mode, p.refused) for p in alone] == [("node", hung["a"]), ("node", "")]


def test_a_nodemanager_bundle_has_always_a_process_of_its_own() -> None:
    """The paper's Figure 7: `--mode node` must not host a host."""
    (planned,) = plan([(Path("/m/n2"), manifest("n2", entry=NODEMANAGER_ENTRY))], Policy(mode="node"))
    assert planned.mode == "process"


def test_a_process_on_the_in_process_bus_is_refused_with_the_reason() -> None:
    """It could never be reached."""
    (planned,) = plan([(Path("/m/a"), manifest("a", mode="process"))], Policy(processes=False))
    assert "leave --bus local out" in planned.refused


def test_of_two_bundles_with_one_name_the_second_is_refused_and_names_the_first() -> None:
    """Instances are told apart by name."""
    found = [(Path("/m/a"), manifest("storage")), (Path("/m/b"), manifest("storage"))]
    first, second = plan(found, Policy())
    assert first.refused == ""
    assert "/m/a" in second.refused
    assert second.name == "b"


def test_a_bundle_that_cannot_be_read_is_planned_as_refused() -> None:
    """One bad bundle must not keep the others from running."""
    bad, good = plan([(Path("/m/a"), ManifestInvalid("no name")), (Path("/m/b"), manifest("b"))], Policy())
    assert (bad.name, bad.manifest, bad.refused) == ("a", None, "no name")
    assert good.refused == ""


def test_a_managed_directory_is_read_by_name_without_what_is_hidden(tmp_path: Path) -> None:
    """`.gridlink`, `__pycache__` and plain files are no bundles."""
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        document = {"name": name, "version": "1.0.0", "entry": f"{name}:M"}
        (tmp_path / name / "module.json").write_text(json.dumps(document))
    for name in (".gridlink", "__pycache__", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "README").write_text("")
    planned = read_plan(tmp_path, Policy())
    assert [(p.name, bool(p.refused)) for p in planned] == [("a", False), ("b", False), ("empty", True)]
    assert "no such file: a bundle needs one" in planned[2].refused


def test_a_module_waits_for_the_roles_it_uses() -> None:
    """Start in order of `uses`."""
    waiting = {"guard": ["storage"], "storage": []}
    assert startable(waiting, frozenset(), 0) == ["storage"]
    assert startable({"guard": ["storage"]}, frozenset(), 1) == []
    assert startable({"guard": ["storage"]}, frozenset({"storage"}), 0) == ["guard"]


def test_a_cycle_or_a_role_of_nobody_does_not_keep_modules_from_running() -> None:
    """Better started in any order than not at all."""
    cycle = {"a": ["b"], "b": ["a"]}
    assert startable(cycle, frozenset(), 0) == ["a", "b"]
    assert startable({"a": ["nobody"]}, frozenset(), 0) == ["a"]
    assert startable({}, frozenset(), 0) == []


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefghxy"), max_size=3)))
def test_every_module_is_started_exactly_once_and_after_what_it_uses(uses: dict[str, list[str]]) -> None:
    """Each serves the role of its name; any graph comes up, and where there is no cycle in order."""
    waiting = dict(uses)
    order: list[str] = []
    while waiting:
        ready = startable(waiting, frozenset(order), 0)
        assert ready
        forced = not any(set(uses[name]) <= set(order) for name in ready)
        for name in ready:
            assert forced or set(uses[name]) <= set(order)
            del waiting[name]
        order += ready
    assert sorted(order) == sorted(uses)


def test_choices_are_read_as_they_were_written_and_what_is_none_is_refused(tmp_path: Path) -> None:
    """An operator may look into the file, and may break it."""
    assert read_choices(tmp_path) == {}
    choices = {"a": Choice("fork"), "b": Choice("node", "node2")}
    write_choices(tmp_path, choices)
    assert read_choices(tmp_path) == choices
    (tmp_path / "modes.json").write_text('{"a": {"mode": "elsewhere"}}')
    with pytest.raises(ConfigInvalid, match=r"modes.json: Invalid enum value 'elsewhere'"):
        read_choices(tmp_path)
    (tmp_path / "damaged").write_text("in the way")
    assert put_choices_aside(tmp_path).startswith("left where it is: ")
    (tmp_path / "damaged").unlink()
    assert put_choices_aside(tmp_path) == f"put aside as {tmp_path}/damaged/modes.json"
    assert read_choices(tmp_path) == {}


HOSTS: list[tuple[Path, Any]] = [
    (Path("/m/ours"), manifest("ours")),
    (Path("/m/guest"), manifest("guest", trust="untrusted")),
    (Path("/m/apart"), manifest("apart", trust="untrusted", into="fence")),
    (Path("/m/lost"), manifest("lost", into="fence")),
    (Path("/m/fence"), manifest("fence", entry=NODEMANAGER_ENTRY, mode="process", trust="untrusted")),
]


@pytest.mark.parametrize(
    ("policy", "modes", "refused"),
    [
        (Policy(), {"ours": "node", "guest": "fork", "apart": "node", "lost": "fork"}, set()),
        (Policy(mode="node"), {"ours": "node", "guest": "fork", "apart": "node", "lost": "fork"}, set()),
        (Policy(untrusted="refuse"), {"ours": "node", "apart": "node"}, {"guest", "lost"}),
        (Policy(mode="process"), dict.fromkeys(("ours", "guest", "apart", "lost"), "process"), set()),
        (Policy(untrusted="refuse", trust="untrusted"), {"guest": "node", "apart": "node"}, {"ours", "lost"}),
        (Policy(chosen={"guest": Choice("node", "fence")}), {"guest": "node", "ours": "node"}, set()),
    ],
)
def test_trusted_and_untrusted_never_share_a_process(policy: Policy, modes: dict[str, str], refused: set[str]) -> None:
    """Forked or refused, as the site says; a NodeManager of their own takes the untrusted."""
    found = {one.name: one for one in plan(HOSTS, policy)}
    assert {name for name, one in found.items() if one.refused} == refused
    assert {name: found[name].mode for name in modes} == modes
    for one in found.values():
        if one.mode == "node" and not one.refused and one.manifest is not None:
            host = {"fence": "untrusted", "nodemanager": policy.trust}[one.into]
            assert one.manifest.trust == host


def test_an_untrusted_bundle_on_the_in_process_bus_is_refused() -> None:
    """There is no process to fork it into."""
    (one,) = plan(HOSTS[1:2], Policy(processes=False))
    assert one.refused.startswith("it is untrusted, and nodemanager hosts what is trusted: the two never share a ")
