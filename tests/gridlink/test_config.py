"""Settings: from the environment, from JSON files, and files that survive a power cut."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec import field as field_of_struct

from gridlink.config import credentials, machine_name, read_json, remove_temporaries, typed, write_atomically
from gridlink.errors import ConfigInvalid


@dataclass(frozen=True)
class Limits:
    """A nested setting."""

    upper_pu: float = 1.1


@dataclass(frozen=True)
class Config:
    """Settings with defaults."""

    period_s: int = 60
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.period_s == 13:
            raise ValueError("period_s: thirteen is refused")


def test_a_document_becomes_typed_settings_with_defaults() -> None:
    """An operator writes only what differs."""
    assert typed({}, Config, "config.json") == Config()
    assert typed({"limits": {"upper_pu": 1.05}}, Config, "config.json") == Config(limits=Limits(1.05))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"periods_s": 5}, "unknown setting 'periods_s'; expected period_s, limits"),
        ([], "expected a JSON object, got list"),
        ({"period_s": "soon"}, "period_s"),
        ({"period_s": 1.5}, "period_s"),
        ({"limits": {"upper_pu": None}}, "limits.upper_pu"),
        ({"period_s": 13}, "thirteen is refused"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_file_and_setting(document: Any, says: str) -> None:
    """A misspelt setting that is silently ignored may cost a transformer."""
    with pytest.raises(ConfigInvalid) as caught:
        typed(document, Config, "/m/guard/config.json")
    assert str(caught.value).startswith("/m/guard/config.json: ")
    assert says in str(caught.value)


def test_an_unknown_setting_inside_another_is_refused_too() -> None:
    """The rule holds at any depth."""
    with pytest.raises(ConfigInvalid, match="uper_pu"):
        typed({"limits": {"uper_pu": 1.05}}, Config, "config.json")


class Inner(Struct, frozen=True, rename={"from_pu": "from"}):
    """A Struct with a name of its own in the document."""

    from_pu: float = 0.95


class Outer(Struct, frozen=True):
    """A module's configuration may be a Struct, too."""

    inner: Inner = field_of_struct(default_factory=Inner)


def test_a_struct_is_as_strict_as_a_dataclass() -> None:
    """A misspelt setting must not be passed over, however the author wrote the type."""
    assert typed({"inner": {"from": 1.0}}, Outer, "config.json") == Outer(Inner(1.0))
    for document, said in (
        ({"iner": {}}, "'iner'; expected inner"),
        ({"inner": {"from_pu": 1.0}}, "expected inner.from"),
    ):
        with pytest.raises(ConfigInvalid, match=said):
            typed(document, Outer, "config.json")


def test_a_file_that_is_no_json_is_refused_by_name(tmp_path: Path) -> None:
    """The operator edits these by hand."""
    file = tmp_path / "config.json"
    file.write_text('{"a": 1,}')
    with pytest.raises(ConfigInvalid, match=re.escape(str(file))):
        read_json(file)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """A reader finds the old or the new one."""
    file = tmp_path / "node.json"
    write_atomically(file, b"old")
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["node.json"]


def test_what_a_killed_process_left_of_a_file_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """It has a name that only a writer of that file gives."""
    names = (
        ".node.json.0123456789ab",
        ".node.json.swp",
        ".node.json.0123456789abc",
        ".other.json.0123456789ab",
        "node.json",
    )
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    remove_temporaries(tmp_path / "node.json")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
    remove_temporaries(tmp_path / "nowhere" / "node.json")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk must not cost the configuration that was there."""
    file = tmp_path / "node.json"
    write_atomically(file, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["node.json"]


def test_credentials_are_those_of_the_nats_command_line() -> None:
    """An operator sets them once, for all tools; an empty variable counts as none."""
    found = credentials({"NATS_USER": "u", "NATS_PASSWORD": "p", "NATS_TOKEN": "", "NATS_CA": "/ca.pem", "OTHER": "x"})
    assert (found.user, found.password, found.token, found.ca) == ("u", "p", None, "/ca.pem")


@pytest.mark.parametrize(("host", "name"), [("board-7.sub.example", "board-7"), ("bö rd", "b--rd"), ("", "machine")])
def test_a_machines_name_is_a_token(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host names may hold what a subject may not."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert machine_name() == name
