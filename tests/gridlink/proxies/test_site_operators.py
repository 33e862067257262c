"""The operators of a site file: read with their keys checked, or refused with what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridlink.errors import ConfigInvalid
from gridlink.proxies.site import Operator, read_site_file

MARIA = {"name": "maria", "nkey": "UCUD46Q4QMDBYNGDPQK5UVQGUGQBJYZ45HY6P4DXD6TPCOJSP5I2ZMPA"}


def read(directory: Path, operators: list[dict[str, Any]]) -> tuple[Operator, ...]:
    """The operators of a site file that lists them so."""
    file = directory / "site.json"
    file.write_text(json.dumps({"operators": operators}))
    return read_site_file(file).document.operators


def test_operators_are_listed_by_name_and_public_nkey(tmp_path: Path) -> None:
    """None, where the file says nothing of them."""
    assert read(tmp_path, [MARIA]) == (Operator(**MARIA),)
    (tmp_path / "site.json").write_text("{}")
    assert read_site_file(tmp_path / "site.json").document.operators == ()


@pytest.mark.parametrize(
    ("operators", "reason"),
    [
        ([{**MARIA, "nkey": MARIA["nkey"][:-1] + "B"}], r"checksum is wrong.*operators\[0\]"),
        ([{**MARIA, "nkey": "SUANOTASEED"}], "a seed, which is secret"),
        ([{**MARIA, "name": "maria\nhuber"}], "expected a name of 1 to 64 letters"),
        ([{**MARIA, "role": "boss"}], "role"),
        ([{"name": "maria"}], "nkey"),
        ([MARIA, {**MARIA, "name": "tom"}], "each has a nkey of their own"),
    ],
)
def test_a_wrong_entry_stops_the_node_with_its_reason(
    tmp_path: Path, operators: list[dict[str, Any]], reason: str
) -> None:
    """Later it would refuse an operator, on a board that nobody reaches any other way."""
    with pytest.raises(ConfigInvalid, match=reason):
        read(tmp_path, operators)
