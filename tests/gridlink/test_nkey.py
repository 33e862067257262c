"""Public nkeys, read without a library; the library is the oracle."""

from __future__ import annotations

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.nkey import public_key


@given(seed=st.binary(min_size=32, max_size=32))
def test_a_key_is_what_the_library_has_made(seed: bytes) -> None:
    """Whatever the key."""
    pair = nkeys.from_seed(bytearray(nkeys.encode_seed(seed, nkeys.PREFIX_BYTE_USER)))
    assert public_key(pair.public_key.decode()) == bytes(pair._keys.verify_key)


KEY = "UCUD46Q4QMDBYNGDPQK5UVQGUGQBJYZ45HY6P4DXD6TPCOJSP5I2ZMPA"


@pytest.mark.parametrize("at", range(1, 56, 5))
def test_a_typing_error_is_found(at: int) -> None:
    """By the checksum: a key with one wrong letter would refuse its operator for ever."""
    assert len(public_key(KEY)) == 32
    wrong = KEY[:at] + ("A" if KEY[at] != "A" else "B") + KEY[at + 1 :]
    with pytest.raises(ValueError, match="checksum"):
        public_key(wrong)


@pytest.mark.parametrize("text", ["", "U", "A" + KEY[1:], KEY.lower(), KEY + "A", "U" + "1" * 55])
def test_what_is_no_users_key_is_refused(text: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="expected a"):
        public_key(text)


def test_a_seed_is_not_repeated_in_the_error() -> None:
    """It is secret, and errors are logged."""
    with pytest.raises(ValueError, match="which is secret") as refused:
        public_key("SUAKEYTHATNOBODYMAYSEE")
    assert "NOBODY" not in str(refused.value)
