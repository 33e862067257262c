"""Sealing: what goes in comes out, and nothing that was changed does."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gridlink.errors import Unreadable
from gridlink.proxies.keys import Key
from gridlink.proxies.sealing import NONCE_BYTES, Keyring, Sealed, read_sealed

A, B = Key(bytes(range(32))), Key(bytes(range(1, 33)))
RING = Keyring([A])


def sealed(plain: bytes, context: bytes = b"c") -> Sealed:
    """A payload, sealed with A and read again."""
    found = read_sealed(RING.seal(plain, context)[0])
    assert found is not None
    return found


@given(st.binary(max_size=2000), st.binary(max_size=200))
def test_a_sealed_payload_opens_to_what_it_was(plain: bytes, context: bytes) -> None:
    """Whatever the payload and the context."""
    assert RING.open(sealed(plain, context), context) == plain


@given(st.binary(max_size=200), st.data())
def test_one_flipped_bit_is_noticed(plain: bytes, data: st.DataObject) -> None:
    """In the nonce, the payload or the tag."""
    whole = sealed(plain)
    part = data.draw(st.sampled_from(["nonce", "data"]))
    content = bytearray(getattr(whole, part))
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unreadable, match="changed on its way"):
        RING.open(replace(whole, **{part: bytes(content)}), b"c")


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_another_context_opens_nothing(one: bytes, other: bytes) -> None:
    """What was sealed for one message can't be sent as another."""
    if one != other:
        with pytest.raises(Unreadable, match="another message"):
            RING.open(sealed(b"{}", one), other)


@given(st.binary(max_size=300))
def test_garbage_never_raises_anything_else(garbage: bytes) -> None:
    """Anybody may publish anything."""
    found = read_sealed(b'{"sealed":"xchacha20poly1305","key":"' + garbage)
    assert found is None or isinstance(found, Sealed)
    with pytest.raises(Unreadable):
        RING.open(Sealed(A.id, garbage[:NONCE_BYTES], garbage), b"c")


def test_the_same_payload_never_looks_the_same_twice() -> None:
    """A repeated value must not be recognized on the wire."""
    assert sealed(b"7").data != sealed(b"7").data


def test_a_sealed_payload_is_json_that_says_so() -> None:
    """`tap` and plain clients must be able to tell, and gateways that read JSON must not break on it."""
    document = json.loads(RING.seal(b"secret", b"c")[0])
    assert document["sealed"] == "xchacha20poly1305"
    assert document["key"] == A.id
    assert read_sealed(json.dumps(document, indent=1).encode()) == read_sealed(msgspec.json.encode(document))


@pytest.mark.parametrize("plain", [b"", b"{}", b'{"sealed":true}', b'"sealed"', b'{"sealed":"xchacha20poly1305"}'])
def test_a_plain_payload_is_not_taken_for_a_sealed_one(plain: bytes) -> None:
    """Also where it has a field of that name."""
    assert read_sealed(plain) is None


def test_a_key_that_is_replaced_still_opens() -> None:
    """Rotation: first every node accepts the new key, then it seals with it, then the old one goes."""
    whole = sealed(b"7")
    assert Keyring([B, A]).open(whole, b"c") == b"7"
    assert json.loads(Keyring([B, A]).seal(b"7", b"c")[0])["key"] == B.id
    assert json.loads(Keyring([B, A]).seal(b"7", b"c", A.id)[0])["key"] == A.id


def test_an_unknown_key_is_named_by_its_id_and_never_shown() -> None:
    """The operator needs to see which key is where."""
    with pytest.raises(Unreadable) as caught:
        Keyring([B]).open(sealed(b"7"), b"c")
    assert A.id in str(caught.value)
    assert B.id in str(caught.value)
    assert caught.value.details == {"expected": B.id, "got": A.id}
    for key in (A, B):
        assert key.secret.hex() not in str(caught.value) + repr(key)
