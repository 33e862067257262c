"""Which node a command means: a wrong guess would switch another substation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gridlink.cli.options import NodeNotFound, Options, Where, find
from gridlink.errors import AddressInvalid


def node_file(managed: Path, **fields: object) -> Path:
    """A managed directory whose node is this very process."""
    document = {"site": "s1", "node": "n", "url": "nats://there:1", "pids": {"guardian": os.getpid()}, **fields}
    (managed / ".gridlink").mkdir(parents=True)
    (managed / ".gridlink" / "node.json").write_text(json.dumps(document))
    return managed


def test_the_more_explicit_wish_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--nats, then -C, then NATS_URL, then ./managed; --site over GRIDLINK_SITE over the node's own."""
    monkeypatch.chdir(tmp_path)
    managed = node_file(tmp_path / "managed")
    environ = {"NATS_URL": "nats://env:1"}
    assert find(Options(), {}) == Where("nats://there:1", "s1", Path("managed"))
    assert find(Options(), environ) == Where("nats://env:1", "site", None)
    assert find(Options(directory=managed), environ) == Where("nats://there:1", "s1", managed)
    assert find(Options(directory=managed, url="nats://x:1"), environ) == Where("nats://x:1", "site", None)
    assert find(Options(), environ | {"GRIDLINK_SITE": "s2"}).site == "s2"
    assert find(Options(site="s3"), environ | {"GRIDLINK_SITE": "s2"}).site == "s3"
    with pytest.raises(AddressInvalid, match="--site"):
        find(Options(site="a b"), {})


def test_the_site_file_is_the_nodes_own_unless_another_is_named(tmp_path: Path) -> None:
    """A command that took none would send plain text on an encrypted site."""
    managed = node_file(tmp_path / "managed")
    other, third = tmp_path / "other.json", tmp_path / "third.json"
    assert find(Options(directory=managed), {}).site_file is None
    (managed / "site.json").write_text("{}")
    assert find(Options(directory=managed), {}).site_file == managed / "site.json"
    environ = {"GRIDLINK_SITE_FILE": str(other)}
    assert find(Options(directory=managed), environ).site_file == other
    assert find(Options(url="nats://x:1"), environ).site_file == other
    assert find(Options(url="nats://x:1", site_file=third), environ).site_file == third
    assert find(Options(url="nats://x:1"), {}).site_file is None


def test_each_reason_for_which_no_node_is_found_has_its_own_advice(tmp_path: Path) -> None:
    """`Connection refused` would help nobody."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for managed, said in (
        (tmp_path / "none", "gridlink init"),
        (tmp_path, "no node is running in .*gridlink-node --manage"),
        (node_file(tmp_path / "killed", pids={"guardian": ended.pid}), f"its process {ended.pid} is gone"),
        (node_file(tmp_path / "local", url=""), "--bus local"),
        (node_file(tmp_path / "torn", site=5), "can't be read"),
    ):
        with pytest.raises(NodeNotFound, match=said):
            find(Options(directory=managed), {})
