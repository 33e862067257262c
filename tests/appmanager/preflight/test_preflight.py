"""A bundle is tried before the old version is touched: what it serves, and every way in which its import can fail."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appmanager.preflight.preflight import preflight
from gridlink.cli.schemas import ROOT
from gridlink.errors import ConfigInvalid, GridlinkError, ManifestInvalid, ModuleInvalid, StartFailed

GOOD = """
from dataclasses import dataclass
from gridlink import Module, Topic, request

@dataclass(frozen=True)
class Config:
    watt: float = 40.0

class Lamp(Module[Config]):
    roles = ("lamp",)
    publishes = (Topic("light", changed=float),)

    def __init__(self):
        raise RuntimeError("it must not be made")

    @request("dim")
    async def dim(self, by: float) -> float:
        return by
"""
Bundle = Callable[..., Path]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Makes a bundle with that code."""

    def made(code: str = GOOD, entry: str = "lamp:Lamp") -> Path:
        directory = tmp_path / "lamp"
        (directory / "lamp").mkdir(parents=True)
        (directory / "lamp" / "__init__.py").write_text(code)
        (directory / "module.json").write_text(json.dumps({"name": "lamp", "version": "1.0.0", "entry": entry}))
        return directory

    return made


@pytest.mark.parametrize(
    ("declared", "expected_s"), [("", 0.0), ("start_within_s = 10.0", 10.0), ("start_within_s = float('inf')", 86400.0)]
)
def test_how_long_a_start_may_take_is_told_where_it_is_declared(
    bundle: Bundle, declared: str, expected_s: float
) -> None:
    """Also if it is as long as the default: then it is the author's word that another version may wait for it."""
    code = GOOD.replace('    roles = ("lamp",)', f'    roles = ("lamp",)\n    {declared}')
    assert preflight(bundle(code)).start_within_s == expected_s


def test_the_contract_of_a_bundle_is_had_without_making_it(bundle: Bundle) -> None:
    """As the published documents have it, so that both can be compared."""
    documents = preflight(bundle()).documents
    assert set(documents) == {"role lamp", "topic light"}
    assert documents["role lamp"]["requests"]["dim"]["payload"] == {"type": "number"}
    assert documents["topic light"]["events"]["changed"]["payload"] == {"type": "number"}


def test_the_contract_of_a_delivered_bundle_is_the_published_one() -> None:
    """One way to make documents, not two."""
    documents = preflight(ROOT / "modules" / "storage").documents
    assert documents["role storage"] == json.loads((ROOT / "schemas" / "role" / "storage.json").read_text())


def test_a_configuration_is_checked_against_the_modules_own_type(bundle: Bundle, tmp_path: Path) -> None:
    """The site's, with the new version's type: before anything is stopped."""
    directory = bundle()
    (tmp_path / "new.json").write_text('{"watt": "bright"}')
    with pytest.raises(ConfigInvalid, match="watt"):
        preflight(directory, tmp_path / "new.json")
    (directory / "config.json").write_text('{"volt": 1}')
    with pytest.raises(ConfigInvalid, match="unknown setting 'volt'; expected watt"):
        preflight(directory)
    (directory / "lamp" / "__init__.py").write_text(GOOD.replace("Module[Config]", "Module[None]"))
    with pytest.raises(ConfigInvalid, match="takes no settings: remove volt"):
        preflight(directory)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"watt": "bright"}', r"config.json of lamp: Expected 'float', got 'str' - at '\$\.watt'"),
        ('{"volt": 1}', "config.json of lamp: unknown setting 'volt'; expected watt"),
        ("[]", "config.json of lamp: expected a JSON object, got list"),
        ("{", "config.json of lamp: expected JSON: "),
    ],
)
def test_a_configuration_that_is_refused_is_named_by_its_module_and_key(
    bundle: Bundle, tmp_path: Path, body: str, why: str
) -> None:
    """An operator has never seen the directory in which it is tried."""
    (tmp_path / "staged.json").write_text(body)
    with pytest.raises(ConfigInvalid, match=f"^{why}") as told:
        preflight(bundle(), tmp_path / "staged.json")
    assert "staged" not in str(told.value)


@pytest.mark.parametrize(
    ("code", "error", "why"),
    [
        ("import nothing_of_that_name", StartFailed, "nothing_of_that_name.*put it into the bundle's lib/"),
        ("1 / 0", StartFailed, r"ZeroDivisionError: division by zero \(.*lamp/__init__.py:1\)"),
        ("x = (", StartFailed, "SyntaxError"),
        ("class Lamp: ...", ModuleInvalid, r"expected a class derived from gridlink\.Module"),
        ("", ModuleInvalid, "has no 'Lamp'"),
        (GOOD.replace("async def", "def"), GridlinkError, "async"),
        ("import sys; sys.exit(0)", StartFailed, "SystemExit"),
        ("import os; os._exit(3)", StartFailed, r"died \(exit status 3\)"),
        ("import os; os.abort()", StartFailed, r"died \(SIGABRT\)"),
        ("x = bytearray(10**9)", StartFailed, "MemoryError"),
        ("while True: pass", StartFailed, "longer than 2 s"),
        ("import os\nfor fd in range(3, 50):\n    try: os.write(fd, b'{}')\n    except OSError: pass\nos._exit(0)",
         ModuleInvalid, "wrote into the pipe"),
    ],
    ids=lambda value: value.splitlines()[0][:30] if isinstance(value, str) and value else None,
)  # fmt: skip
def test_a_bundle_that_can_not_be_imported_is_refused_with_the_reason(
    bundle: Bundle, code: str, error: type[GridlinkError], why: str
) -> None:
    """Whatever its top level does, nothing here dies of it."""
    with pytest.raises(error, match=why):
        preflight(bundle(code), within_s=2.0 if "while" in code else 20.0)


def test_what_the_import_starts_ends_with_it(bundle: Bundle, tmp_path: Path) -> None:
    """A process that a bundle leaves behind would hold memory for good."""
    code = "import subprocess\n"
    code += f"p = subprocess.Popen(['sleep', '600'])\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid))\n"
    preflight(bundle(code + GOOD))
    pid = int((tmp_path / "pid").read_text())
    status = Path(f"/proc/{pid}/stat")
    deadline_s = time.monotonic() + 10.0
    while status.exists() and status.read_text().split()[2] not in "ZX":  # a signal takes its time
        assert time.monotonic() < deadline_s, "it still runs"
        time.sleep(0.01)


def test_a_bundle_does_not_see_the_sites_credentials(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried before anybody has decided that it may run."""
    monkeypatch.setenv("NATS_PASSWORD", "secret")
    assert "NATS_PASSWORD" in os.environ
    code = "import os\nassert 'NATS_PASSWORD' not in os.environ\n"
    assert "role lamp" in preflight(bundle(code + GOOD)).documents


def test_a_directory_that_is_no_bundle_is_told(tmp_path: Path) -> None:
    """With the sentence of whoever reads manifests."""
    with pytest.raises(ManifestInvalid, match="a bundle needs one"):
        preflight(tmp_path)
