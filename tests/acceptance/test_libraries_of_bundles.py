"""What one bundle brings is its own: packages of the same name don't meet, and its lib/ comes before the host's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.running import running

CODE = """
from gridlink import Module, request
from {package}.version import VERSION

class Probe(Module[None]):
    roles = ("{role}",)

    @request("versions")
    async def versions(self) -> dict[str, str]:
        import h11
        from {package}.late import LATE
        return {{"own": VERSION, "late": LATE, "h11": h11.__version__}}
"""


def two_bundles(managed: Path) -> None:
    """Bundles `one` and `two`, both with a package `shared`; `two` brings an h11 of its own."""
    for name in ("one", "two"):
        directory = managed / name
        package = directory / "shared"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(CODE.format(package="shared", role=name))
        (package / "version.py").write_text(f"VERSION = {name!r}\n")
        (package / "late.py").write_text(f"LATE = 'late {name}'\n")
        manifest = {"name": name, "version": "1.0.0", "entry": "shared:Probe", "requires": {"h11": ">=0.16"}}
        (directory / "module.json").write_text(json.dumps(manifest))
    library = managed / "two" / "lib" / "h11"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("__version__ = '0.0.7 of two'\n")


@pytest.mark.parametrize("mode", ["node", "process"])
async def test_two_bundles_with_a_package_of_the_same_name_and_a_library_of_their_own(
    tmp_path: Path, mode: str
) -> None:
    """In one interpreter as in two: natural names, also for what is imported late, inside a handler."""
    managed = tmp_path / "managed"
    two_bundles(managed)
    async with running(managed, "--mode", mode) as node:
        await node.all_running("one", "two")
        one = await node.sender.request("one", "versions")
        two = await node.sender.request("two", "versions")
        assert (one["own"], one["late"]) == ("one", "late one")
        assert (two["own"], two["late"]) == ("two", "late two")
        assert two["h11"] == "0.0.7 of two"
        assert one["h11"] not in ("", two["h11"])
        assert node.stop() == 0
