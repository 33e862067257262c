"""Keys: read from files and the environment, and refused with a sentence that helps."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from gridlink.errors import ConfigInvalid
from gridlink.proxies.keys import key_in_environment, key_in_file

SECRET = bytes(range(32))


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    """A key file."""
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [SECRET.hex(), f"{SECRET.hex()}\n", base64.b64encode(SECRET).decode()])
def test_a_key_is_hexadecimal_or_base64(tmp_path: Path, text: str) -> None:
    """What `openssl rand` prints, with its line end."""
    key = key_in_file(written(tmp_path / "key", text), "here")
    assert key.secret == SECRET
    assert key.id == key_in_environment("K", "here", {"K": text}).id


@pytest.mark.parametrize("mode", [0o604, 0o640 | 0o020, 0o606, 0o644])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Such a key may be known to anybody."""
    with pytest.raises(ConfigInvalid, match=rf"here: expected the key file .* 0600.*, got {mode:04o}: `chmod 600"):
        key_in_file(written(tmp_path / "key", SECRET.hex(), mode), "here")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_key_file_of_the_owner_or_a_group_is_taken(tmp_path: Path, mode: int) -> None:
    """systemd's credentials are 0400; a service user's are often the group's."""
    assert key_in_file(written(tmp_path / "key", SECRET.hex(), mode), "here").secret == SECRET


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a key of 32 bytes, got 0"),
        (SECRET.hex()[:32], "expected a key of 32 bytes, got 16"),
        (SECRET.hex() * 2, "expected a key of 32 bytes, got 64"),
        ("not a key!", "expected 64 hexadecimal digits or base64"),
        ("ä" * 40, "expected 64 hexadecimal digits or base64"),
        ("00" * 32, "expected a random key"),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, text: str, reason: str) -> None:
    """An error goes into logs: a key that is nearly right must not."""
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        key_in_file(written(tmp_path / "key", text), "site.json: proxies[0] (encryption)")
    assert str(caught.value).startswith("site.json: proxies[0] (encryption)")
    assert not text or text not in str(caught.value)


def test_a_missing_file_or_variable_says_how_to_make_a_key(tmp_path: Path) -> None:
    """The first thing that everybody meets."""
    with pytest.raises(ConfigInvalid, match=r"No such file or directory.*openssl rand"):
        key_in_file(tmp_path / "key", "here")
    with pytest.raises(ConfigInvalid, match=r"GRIDLINK_KEY, it isn't set.*openssl rand"):
        key_in_environment("GRIDLINK_KEY", "here", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """The node runs as a user of its own."""
    with pytest.raises(ConfigInvalid, match="Permission denied"):
        key_in_file(written(tmp_path / "key", SECRET.hex(), 0o200), "here")
