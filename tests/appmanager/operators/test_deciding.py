"""Whether a command may be carried out: only as it was signed, by one who is listed, for this machine, in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from appmanager.operators.deciding import CLOCKS_DIFFER_S, decide
from appmanager.operators.genuine import genuine
from appmanager.operators.signed import PREFIX, UNSIGNED, Target, signed_bytes
from appmanager.orders import Signature
from appmanager.provisioning.machine import Kind
from appmanager.provisioning.plan import Order
from appmanager.provisioning.time_left import moment
from gridlink.errors import AccessDenied, PayloadInvalid
from tests.appmanager.operators.keys import HERE, ORDER, Person, person

NOW_S = 1_800_000_000.0


@pytest.fixture
def maria(tmp_path: Path) -> Person:
    """Who is listed."""
    return person(tmp_path, "maria")


def decided(
    who: Person,
    signature: Signature | None,
    order: Order = ORDER,
    *,
    target: Target = HERE,
    type: str = "update",
    now_s: float = NOW_S,
) -> str:
    """What the AppManager of a site decides that lists one operator."""
    listed = {who.operator.nkey: who.operator.name}
    return decide(listed, type, order, signature, target, now_s, genuine)


def travelled(order: Order) -> Order:
    """As the receiver reads it."""
    return msgspec.json.decode(msgspec.json.encode(order), type=Order)


def test_a_signed_command_is_its_operators(maria: Person) -> None:
    """Also after it was written as JSON and read again, where 600 has become 600.0."""
    signature = maria.signs(now_s=NOW_S)
    on_its_way = msgspec.json.decode(msgspec.json.encode(signature), type=Signature)
    assert decided(maria, on_its_way, travelled(ORDER)) == "maria"


def test_where_no_operator_is_listed_anyone_may() -> None:
    """The site's users trust each other, as ever."""
    assert decide({}, "update", ORDER, None, HERE, NOW_S, genuine) == ""


def test_an_unsigned_command_is_refused(maria: Person) -> None:
    """With what to do about it."""
    with pytest.raises(AccessDenied, match=r"update of lamp on board1: .*maria.*isn't signed: sign it"):
        decided(maria, None)


CHANGES: dict[str, Any] = {
    "id": "c2",
    "kind": Kind.INSTALL,
    "module": "other",
    "digest": "e" * 64,
    "source": "store:y",
    "config": {"watt": 40},
    "settings": {"watt": 41, "warm": 0.5},
    "to": "1.0.0",
    "older": True,
    "purge": True,
    "keep_state": True,
    "expires_s": 601.0,
    "taken": moment(),
    "mode": "fork",
    "into": "node2",
}


@pytest.mark.parametrize("field", [name for name in Order.__struct_fields__ if name not in UNSIGNED])
def test_a_changed_field_is_found_whichever_it_is(maria: Person, field: str) -> None:
    """Every field that an order has or will have; a new one fails here until it is in the table."""
    signature = maria.signs(now_s=NOW_S)
    with pytest.raises(AccessDenied, match="changed on its way"):
        decided(maria, signature, structs.replace(ORDER, **{field: CHANGES[field]}))


@pytest.mark.parametrize("target", [Target("east", "board1"), Target("west", "board2")])
def test_a_command_to_another_site_or_machine_is_refused_here(maria: Person, target: Target) -> None:
    """Whoever heard it there can't have it done here."""
    with pytest.raises(AccessDenied, match="another site or machine"):
        decided(maria, maria.signs(target=target, now_s=NOW_S))


def test_a_command_of_another_type_or_time_is_refused(maria: Person) -> None:
    """`install` instead of `update`; signed later than it was."""
    signature = maria.signs(now_s=NOW_S)
    with pytest.raises(AccessDenied, match="changed on its way"):
        decided(maria, signature, type="install")
    with pytest.raises(AccessDenied, match="changed on its way"):
        decided(maria, structs.replace(signature, at_s=signature.at_s + 1))


def test_a_command_that_was_held_back_has_expired(maria: Person) -> None:
    """Clocks may differ a little."""
    signature, in_time_s = maria.signs(now_s=NOW_S), NOW_S + ORDER.expires_s + CLOCKS_DIFFER_S
    assert decided(maria, signature, now_s=in_time_s) == "maria"
    with pytest.raises(AccessDenied, match=r"721 s ago .* for 600 s: sign it anew, or set the clock"):
        decided(maria, signature, now_s=in_time_s + 1)


def test_a_board_that_booted_in_1970_takes_commands(maria: Person) -> None:
    """Many have no battery: they couldn't be changed at all."""
    assert decided(maria, maria.signs(now_s=NOW_S), now_s=12.0) == "maria"


def test_one_who_is_not_listed_is_refused_by_name(maria: Person, tmp_path: Path) -> None:
    """The nkey, so that it can be added."""
    eve = person(tmp_path, "eve")
    with pytest.raises(AccessDenied, match=f"{eve.operator.nkey} isn't one") as refused:
        decided(maria, eve.signs(now_s=NOW_S))
    assert (refused.value.source, refused.value.type) == (eve.operator.nkey, "update")


def test_a_signature_under_somebody_elses_nkey_is_refused(maria: Person, tmp_path: Path) -> None:
    """A public key is no secret."""
    forged = structs.replace(person(tmp_path, "eve").signs(now_s=NOW_S), nkey=maria.operator.nkey)
    with pytest.raises(AccessDenied, match="isn't maria's"):
        decided(maria, forged)


@given(at=st.integers(0, 63), bit=st.integers(0, 7))
def test_a_single_changed_bit_of_the_signature_is_found(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    """Any of them."""
    maria = person(tmp_path_factory.mktemp("keys"), "maria")
    signature = maria.signs(now_s=NOW_S)
    changed = bytearray.fromhex(signature.ed25519)
    changed[at] ^= 1 << bit
    with pytest.raises(AccessDenied):
        decided(maria, structs.replace(signature, ed25519=changed.hex()))


@pytest.mark.parametrize("body", ["", "x", "é", "00" * 63, "00" * 65, "00" * 64])
def test_what_is_no_signature_is_refused(maria: Person, body: str) -> None:
    """Of any length."""
    with pytest.raises(AccessDenied):
        decided(maria, structs.replace(maria.signs(now_s=NOW_S), ed25519=body))


def test_a_server_can_not_have_a_command_signed_as_its_nonce() -> None:
    """It has clients sign a text of its choice; what is signed here is no text."""
    message = signed_bytes("update", ORDER, HERE, int(NOW_S))
    assert message.startswith(PREFIX)
    with pytest.raises(UnicodeDecodeError):
        message.decode()


def test_a_field_that_a_board_does_not_know_yet_matters_when_it_is_used() -> None:
    """Left at its default, a newer desk and an older board agree."""
    document = orjson.loads(signed_bytes("update", ORDER, HERE, int(NOW_S))[len(PREFIX) :])
    assert set(document["command"]) == {"id", "kind", "module", "digest", "source", "settings"}


def test_what_json_can_not_hold_is_not_signed() -> None:
    """It couldn't be sent either."""
    with pytest.raises(PayloadInvalid, match="update of lamp can't be signed"):
        signed_bytes("update", structs.replace(ORDER, settings={"x": 2**70}), HERE, int(time.time()))
