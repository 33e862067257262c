"""Addresses: what is a token, which subject an address stands for, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink import address
from gridlink.errors import AddressInvalid

TOKENS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)


@pytest.mark.parametrize("name", ["oltc", "bus_3", "board-7", "A", "0"])
def test_a_token_is_returned_as_it_is(name: str) -> None:
    """Names of letters, digits, '_' and '-' are all that a subject may hold."""
    assert address.token(name, "role") == name


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "a\n", "é", "a@b", None, 3])
def test_what_is_no_token_is_refused_and_named(name: object) -> None:
    """A dot or a wildcard in a name would reach other people's subjects."""
    with pytest.raises(AddressInvalid, match="role: expected a name of letters") as caught:
        address.token(name, "role")
    assert repr(name) in str(caught.value)


def test_a_name_that_makes_too_long_a_subject_is_refused() -> None:
    """A nats-server closes the connection of whoever sends one, and all of a node's modules would lose it."""
    assert address.token("a" * 255, "role") == "a" * 255
    with pytest.raises(AddressInvalid, match="role: expected at most 255 letters, got 5000"):
        address.token("a" * 5000, "role")


def test_each_kind_of_address_reads_as_documented() -> None:
    """The strings are the wire: other programs rely on them."""
    assert address.role("oltc") == "role.oltc"
    assert address.topic("measurement") == "topic.measurement"
    assert address.instance("storage@board7") == "instance.board7.storage"


@pytest.mark.parametrize("name", ["storage", "@", "a@", "@b", "a@b@c", "a@b.c"])
def test_an_instance_without_name_and_node_is_refused(name: str) -> None:
    """Control messages go to one instance: half an address must not become a role."""
    with pytest.raises(AddressInvalid):
        address.instance(name)


def test_a_receiver_with_an_at_is_an_instance_and_else_a_role() -> None:
    """`self.bus.request` takes both."""
    assert address.receiver("storage@n1") == address.instance("storage@n1")
    assert address.receiver("storage") == address.role("storage")


def test_addresses_are_readable_to_people() -> None:
    """Error sentences name what people typed, not the subject."""
    assert address.readable(address.role("oltc")) == "role oltc"
    assert address.readable(address.topic("measurement")) == "topic measurement"
    assert address.readable(address.instance("storage@board7")) == "storage@board7"


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_every_subject_parses_back(site: str, name: str, node: str, type_name: str) -> None:
    """What one node sends is what the other reads."""
    for where in (address.role(name), address.topic(name), address.instance(f"{name}@{node}"), address.REGISTRY):
        assert address.parse(address.subject(site, where, type_name)) == (site, where, type_name)


@given(st.text(max_size=40))
def test_a_foreign_subject_parses_or_is_refused(text: str) -> None:
    """Anybody can publish on NATS: a strange subject raises AddressInvalid and nothing else."""
    try:
        site, where, type_name = address.parse(text)
    except AddressInvalid:
        return
    assert address.subject(site, where, type_name) == text


@pytest.mark.parametrize("subject", ["", "gl", "gl.site", "gl.site.role", "xx.site.role.a.get", "gl.site.role.oltc."])
def test_a_subject_that_lacks_a_part_is_refused(subject: str) -> None:
    """Each part has a meaning: none can be left out."""
    with pytest.raises(AddressInvalid, match="expected gl"):
        address.parse(subject)
