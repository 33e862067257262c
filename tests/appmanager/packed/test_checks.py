"""Each check, with a bundle that passes and one that doesn't."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appmanager.packed.checks import ALL, Candidate, Host, Site, read_candidate, refuse, verify
from appmanager.packed.contents import Header
from appmanager.packed.errors import BundleInvalid, BundleRefused
from appmanager.packed.unpack import unpack
from appmanager.store.disk import RealDisk
from gridlink.compatibility import compare
from gridlink.document import Document, envelope
from gridlink.manifest import Manifest, parse
from tests.appmanager.packed.making import MANIFEST, files_of, packed
from tests.cli.wheels import elf

HOST = Host("3.11.2", "linux-x86_64", {"gridlink": "1.2.0", "h11": "0.16.0"})
Candidates = Callable[..., Candidate]


@pytest.fixture
def candidate(tmp_path: Path) -> Candidates:
    """A bundle that was unpacked: its manifest, files and header are as a test says."""

    def made(files: dict[str, bytes] | None = None, header: Header | None = None, **manifest: Any) -> Candidate:
        body = files_of() | {"module.json": json.dumps(MANIFEST | manifest).encode()} | (files or {})
        glb, _ = packed(tmp_path, body, header)
        (tmp_path / "lamp.glb").write_bytes(glb)
        unpack(RealDisk(), tmp_path / "lamp.glb", tmp_path / "lamp")
        return read_candidate(tmp_path / "lamp")

    return made


def _manifest(**fields: Any) -> Manifest:
    return parse(MANIFEST | fields, "test")


def _role(**requests: Any) -> Document:
    return envelope("role:lamp", "role lamp", "") | {"requests": requests, "$defs": {}}


def _request(payload: Any) -> Any:
    return {"payload": payload, "reply": {"type": "null"}}


def _reasons(candidate: Candidate, host: Host = HOST, site: Site | None = None) -> list[tuple[str, str]]:
    return refuse(ALL, candidate, host, site or Site())


def test_a_good_bundle_passes_all_checks(candidate: Candidates) -> None:
    """With everything that a check could look at."""
    found = candidate(
        {"lib/gear.cpython-311-x86_64-linux-gnu.so": elf(62), "lib/gear-1.dist-info/METADATA": b""},
        Header(1, "lamp", "1.0.0", "3.11", "linux-x86_64", {"gear": "1.0"}),
        requires={"python": ">=3.11", "gridlink": ">=1,<2", "h11": ">=0.16", "platform": ["linux-x86_64"]},
        uses={"role storage": ["addMeasurement"]},
        resources={"memory_mib": 8},
    )
    storage = {"role storage": _role(addMeasurement=_request({}))}
    site = Site((_manifest(name="storage"),), frozenset({"storage"}), storage, free_mib=100.0)
    assert _reasons(found, site=site) == []


def test_a_file_that_was_changed_on_the_disk_is_told(candidate: Candidates) -> None:
    """Before a version that was staged yesterday is started today; the configuration is the site's own."""
    found = candidate()
    (found.directory / "config.json").write_text('{"watt": 1}')
    assert _reasons(found) == []
    (found.directory / "lamp" / "__init__.py").write_text("VERSION = '6.6.6'\n")
    (found.directory / "lamp" / "parts" / "bulb.py").unlink()
    changed = [why for check, why in _reasons(found) if check == "digest"]
    assert [why.partition(" ")[0] for why in changed] == ["lamp/__init__.py", "lamp/parts/bulb.py"]


def test_links_are_told(candidate: Candidates, tmp_path: Path) -> None:
    """Two bundles that share a native library by a hard link share its state in C too."""
    found = candidate()
    os.link(found.directory / "lamp" / "__init__.py", tmp_path / "other")
    (found.directory / "lamp" / "link").symlink_to("/etc/passwd")
    (found.directory / "folder").symlink_to("/etc")
    reasons = {why for check, why in _reasons(found) if check == "files"}
    assert reasons == {
        "lamp/__init__.py has another name (a hard link): copy it",
        "lamp/link is no file: a bundle holds files alone",
        "folder is no file: a bundle holds files alone",
    }


@pytest.mark.parametrize(
    ("made", "check", "why"),
    [
        ({"entry": "light:Lamp"}, "layout", "names the package 'light'"),
        ({"files": {"json/__init__.py": b""}}, "layout", "json hides 'json' of the host"),
        ({"files": {"lib/gridlink/__init__.py": b""}}, "layout", "lib/gridlink hides 'gridlink'"),
        ({"files": {"lib/x.so": elf(183)}}, "native libraries", "is for linux-aarch64, this is linux-x86_64"),
        ({"files": {"lib/x.cpython-312-a.so": elf(62)}}, "native libraries", "is for Python 3.12, this is 3.11"),
        ({"files": {"lib/x.so.1": b"text"}}, "native libraries", "is for no library of Linux"),
        ({"requires": {"python": ">=3.12"}}, "platform", "needs Python >=3.12, the host has 3.11.2"),
        ({"requires": {"python": "new"}}, "platform", "expected a range"),
        ({"requires": {"platform": ["linux-aarch64"]}}, "platform", "for linux-aarch64 (requires.platform)"),
        ({"header": Header(1, "lamp", "1.0.0", "3.12")}, "platform", "libraries are for Python 3.12"),
        ({"header": Header(1, "lamp", "1.0.0", "3.10", "linux-x86_64")}, "platform", "for Python 3.10"),
        ({"header": Header(1, "lamp", "1.0.0", "", "linux-armv7l")}, "platform", "for linux-armv7l"),
        ({"requires": {"gridlink": ">=2"}}, "libraries", "needs gridlink >=2, the host has 1.2.0"),
        ({"requires": {"numpy": ">=2"}}, "libraries", "which has none"),
        (
            {"header": Header(1, "lamp", "1.0.0", "3.11", "", {"H11": "0.9"}), "requires": {"h11": ">=0.16"}},
            "libraries", "brings H11 0.9, which the host has",
        ),
        ({"resources": {"memory_mib": 200}}, "memory", "it needs 200 MiB"),
        ({"uses": {"role oltc": ["setTapPosition"]}}, "uses", "role oltc, which nobody serves (there are storage)"),
        ({"uses": {"role storage": ["forget"]}}, "contracts", "'forget' of role storage, which has addMeasurement"),
        ({"version": "0.9.0"}, "version", "older than 1.0.0, which runs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_reason(
    candidate: Candidates, made: dict[str, Any], check: str, why: str
) -> None:
    """One defect each, found by the check that is named, and by no other."""
    running = _manifest()
    site = Site(
        (running,),
        frozenset({"storage"}),
        {"role storage": _role(addMeasurement=_request({}))},
        running,
        free_mib=100.0,
    )
    reasons = _reasons(candidate(**made), site=site)
    assert {name for name, _ in reasons} == {check}
    assert why in reasons[0][1]


def test_a_version_that_does_not_run_has_no_memory_to_give_back(candidate: Candidates) -> None:
    """One that was refused for its memory must not get in as an update of itself."""
    large = {"memory_mib": 900_000}
    site = Site(running=_manifest(resources=large), free_mib=100.0)
    found = candidate(resources=large)
    [(check, why)] = _reasons(found, site=site)
    assert (check, "it needs 900000 MiB" in why) == ("memory", True)
    assert _reasons(found, site=replace(site, own_mib=900_000.0)) == []


def test_a_contract_that_breaks_a_module_names_it(candidate: Candidates) -> None:
    """And a role that is gone names who used it."""
    old, new = _request({"type": "integer"}), _request({"type": "string"})
    user = _manifest(name="clock", uses={"role lamp": ["dim"]})
    contracts = {"role lamp": _role(dim=old)}
    site = Site((user,), frozenset({"lamp"}), contracts, _manifest(), frozenset({"role lamp"}))
    found = replace(candidate(), documents={"role lamp": _role(dim=new)})
    assert any(finding.breaks for finding in compare(contracts["role lamp"], found.documents["role lamp"]))
    [(check, why)] = _reasons(found, site=site)
    assert (check, why.startswith("clock would break: role lamp: ")) == ("contracts", True)
    [(check, why)] = _reasons(replace(found, documents={}), site=site)
    assert why == "clock would break: role lamp is no longer served, and it uses that"
    assert _reasons(replace(found, documents=contracts), site=site) == []


def test_verify_raises_with_the_first_check_and_all_of_its_reasons(candidate: Candidates) -> None:
    """What an operator reads, and what a program gets."""
    found = candidate(requires={"gridlink": ">=2", "numpy": ">=1"})
    with pytest.raises(BundleRefused, match=r"lamp 1\.0\.0: it needs gridlink >=2.*and 1 more") as caught:
        verify(ALL, found, HOST, Site())
    assert (caught.value.check, len(caught.value.reasons)) == ("libraries", 2)


def test_a_list_of_files_of_another_bundle_is_refused(candidate: Candidates) -> None:
    """Somebody renames a module, and forgets to pack it again."""
    with pytest.raises(BundleInvalid, match=r"module\.json says lamp 1\.0\.0, the list of files meter 2\.0\.0"):
        candidate(header=Header(1, "meter", "2.0.0"))
