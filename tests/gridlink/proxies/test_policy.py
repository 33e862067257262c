"""Policies: what no rule allows is denied, and the nats-server is told the same."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from gridlink.address import NODE_COMMANDS, NODE_QUESTIONS, Address, instance, role, topic
from gridlink.node.about import About
from gridlink.proxies.policy import Rule, allowed, permissions, target_of


def rule(**fields: Any) -> Rule:
    """A rule as it is written in a file."""
    return msgspec.convert({"from" if name == "source" else name: value for name, value in fields.items()}, Rule)


OLTC = role("oltc")


def test_without_a_rule_everything_is_denied() -> None:
    """Deny by default: a forgotten rule must not open a door."""
    assert not allowed([], "guard@a", OLTC, "get")
    assert not allowed([], "", OLTC, "get")


@pytest.mark.parametrize(
    ("source", "to", "type", "passes"),
    [
        ("handler@a", OLTC, "set", True),
        ("handler-2@a", OLTC, "set", True),
        ("handler@b", OLTC, "set", True),
        ("handler@a", OLTC, "get", False),
        ("handlers@a", OLTC, "set", False),
        ("guard@a", OLTC, "set", False),
        ("", OLTC, "set", False),
        ("handler@a", role("oltc2"), "set", False),
        ("handler@a", topic("oltc"), "set", False),
        ("handler@a", instance("oltc@a"), "set", False),
    ],
)
def test_a_rule_allows_what_it_names_and_nothing_near_it(source: str, to: Address, type: str, passes: bool) -> None:
    """Names are compared whole; replicas share their module's rights."""
    assert allowed([rule(source="handler", to="role oltc", types=["set"])], source, to, type) is passes


@pytest.mark.parametrize(
    ("target", "to", "passes"),
    [
        ("*", OLTC, True),
        ("role *", OLTC, True),
        ("role *", topic("oltc"), False),
        ("topic *", topic("x"), True),
        ("instance *", instance("storage@a"), True),
        ("instance storage", instance("storage@a"), True),
        ("instance storage", instance("storage-2@a"), True),
        ("instance storage@a", instance("storage@a"), True),
        ("instance storage@a", instance("storage@b"), False),
        ("instance storage@a", instance("storage-2@a"), False),
    ],
)
def test_a_target_means_one_address_or_a_kind_of_them(target: str, to: Address, passes: bool) -> None:
    """The forms that the documentation lists."""
    assert allowed([rule(source="*", to=target)], "any@a", to, "x") is passes


def test_a_rule_can_name_one_instance_or_several_modules() -> None:
    """`name@node` is narrower than a name."""
    policy = [rule(source=["guard@a", "handler"], to=["role oltc", "role storage"])]
    assert allowed(policy, "guard@a", OLTC, "x")
    assert not allowed(policy, "guard@b", OLTC, "x")
    assert allowed(policy, "handler@b", role("storage"), "x")


def test_an_appmanager_may_always_ask_a_nodemanager() -> None:
    """A policy that forgets it must not keep a site from starting."""
    assert allowed([], "appmanager@a", instance("nodemanager@a"), "host")
    assert not allowed([], "storage@a", instance("nodemanager@a"), "host")


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "a", "to": "oltc"},
        {"source": "a", "to": "role"},
        {"source": "a b", "to": "role oltc"},
        {"source": "a", "to": "role oltc\n"},
        {"source": "a", "to": "role >"},
        {"source": "a", "to": "role oltc", "types": ["a.b"]},
        {"source": "a", "to": "role oltc", "types": "set"},
        {"source": "a", "to": "role oltc", "type": ["set"]},
        {"source": "a"},
        {"source": "a", "hears": []},
        {"source": "a", "hears": ["instance b"]},
    ],
    ids=str,
)
def test_a_rule_of_another_form_is_refused(fields: dict[str, Any]) -> None:
    """A rule that is silently ignored is a hole or an outage."""
    with pytest.raises(msgspec.ValidationError):
        rule(**fields)


@pytest.mark.parametrize("to", [OLTC, topic("measurement"), instance("storage@a")])
def test_an_address_is_written_as_rules_write_it(to: Address) -> None:
    """The rule that an error proposes must be the one that helps."""
    assert allowed([rule(source="guard", to=target_of(to), types=["x"])], "guard@a", to, "x")


def test_the_server_is_told_what_the_policy_allows_a_process() -> None:
    """A process that lies about its name gets no further than its own modules' rights."""
    policy = [
        rule(source="handler", to="role oltc", types=["set"]),
        rule(source="guard", to="*"),
        rule(source="*", to="instance storage@b"),
    ]
    found = permissions(policy, ["handler"], "a", "site")
    allow = found["publish"]["allow"]
    assert "gl.site.role.oltc.set" in allow
    assert "gl.site.instance.b.storage.*" in allow
    assert not [subject for subject in allow if subject.startswith(("gl.site.role.*", "gl.site.topic"))]
    assert "gl.site.instance.*.nodemanager.*" not in allow
    assert {"gl.site.role.*.*", "gl.site.topic.*.*", "gl.site.instance.*.*.*"} <= set(
        permissions(policy, ["guard"], "a", "site")["publish"]["allow"]
    )
    assert "_INBOX.a.>" in found["subscribe"]["allow"]
    assert "gl.site.instance.a.nodemanager.*" in permissions([], ["appmanager"], "a", "site")["publish"]["allow"]


def test_of_other_nodes_a_machine_is_granted_questions_and_no_command() -> None:
    """Whatever a node answers is either a question or a command: a new one is granted to nobody by accident."""
    answered = set(About(Mock())._questions)
    assert answered == {*NODE_QUESTIONS, *NODE_COMMANDS}
    found = permissions([], ["appmanager", "guard"], "a", "site")["publish"]
    granted = [one.rpartition(".")[2] for one in found["allow"] if one.startswith("gl.site.instance.*._node.")]
    assert set(granted) == set(NODE_QUESTIONS)
    assert {"gl.site.instance.a._node.*", "gl.site.instance.a-guard-2._node.*"} <= set(found["allow"])
    assert not [one for one in found["allow"] if "_node" in one and one.startswith("gl.site.instance.b")]
    assert set(permissions([rule(source="guard", to="*")], ["guard"], "a", "site")["publish"]["deny"]) == {
        f"gl.site.instance.*._node.{one}" for one in NODE_COMMANDS
    }


def test_a_machine_hears_what_its_modules_rules_say_and_its_own() -> None:
    """Who hears a request may answer it: by default nothing."""
    policy = [rule(source="handler", hears=["role oltc", "topic *"]), rule(source="guard", hears=["role guard"])]
    hears = permissions(policy, ["handler"], "a", "site")["subscribe"]["allow"]
    assert {"gl.site.role.oltc.*", "gl.site.topic.>", "gl.site.instance.a.>", "gl.site.registry.*"} <= set(hears)
    assert not {"gl.site.>", "gl.site.role.guard.*"} & set(hears)
    assert not [one for one in permissions([], ["handler"], "a", "site")["subscribe"]["allow"] if ".role." in one]
