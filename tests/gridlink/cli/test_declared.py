"""The file of `gridlink apply`: what it may say, and that what it may not is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from gridlink.cli.declared import flat, read_declared, schema_of_file
from gridlink.errors import ConfigInvalid

GOOD = """
bundles = "packed"
[modules.lamp]
version = "1.0.0"
mode = "fork"
settings.limits.upper_pu = 1.08
[modules.bell]
bundle = "bell.glb"
config = {loud = true}
[modules.old]
absent = true
"""


def write(directory: Path, text: str, name: str = "site.toml") -> Path:
    """The file."""
    (directory / name).write_text(text)
    return directory / name


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    """People write the one, programs the other."""
    declared = read_declared(write(tmp_path, GOOD))
    assert list(declared.modules) == ["lamp", "bell", "old"]
    assert flat(declared.modules["lamp"].settings) == {"limits.upper_pu": 1.08}
    document = {
        "bundles": "packed",
        "modules": {
            "lamp": {"version": "1.0.0", "mode": "fork", "settings": {"limits.upper_pu": 1.08}},
            "bell": {"bundle": "bell.glb", "config": {"loud": True}},
            "old": {"absent": True},
        },
    }
    again = read_declared(write(tmp_path, json.dumps(document), "site.json"))
    assert again.modules["bell"] == declared.modules["bell"]
    assert flat(again.modules["lamp"].settings) == flat(declared.modules["lamp"].settings)
    jsonschema.Draft202012Validator(schema_of_file()).validate(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[modules.lamp]\nversion = '1'", "version"),
        ("[modules.Lamp]\n", "modules"),
        ("[modules.lamp]\nversions = '1.0.0'", "unknown setting 'modules.lamp.versions'"),
        ("[module.lamp]\n", "unknown setting 'module'"),
        ("[modules.lamp]\nmode = 'thread'", "mode"),
        ("[modules.lamp]\nabsent = true\nversion = '1.0.0'", "nothing else can be said"),
        ("[modules.lamp]\nsettings.a = 1\nconfig.b = 2", "got both"),
        ("[modules.lamp]\nmode = 'fork'\ninto = 'node2'", "goes with mode node"),
        ("[modules.lamp]\nsettings.a = nan", "no nan"),
        ("[modules", "expected TOML"),
        ("", "modules"),
    ],
)
def test_what_it_may_not_say_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A misspelt line would be a setting that nobody sets."""
    with pytest.raises(ConfigInvalid, match=said):
        read_declared(write(tmp_path, text))


@pytest.mark.parametrize("name", ["none.toml", "none.json"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    """One line, not a traceback."""
    with pytest.raises(ConfigInvalid, match=name):
        read_declared(tmp_path / name)
