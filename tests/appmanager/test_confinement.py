"""What manifest, site file and a former AppManager say of a bundle's process: the pure part."""

from __future__ import annotations

from pathlib import Path

import pytest

from appmanager.children import apart
from appmanager.confinement import words
from appmanager.moving import as_running
from appmanager.users import user_called
from gridlink.errors import ModuleInvalid
from gridlink.manifest import Resources, parse
from gridlink.node.plan import Planned
from gridlink.proxies.site import read_site_file

MANIFEST = parse({"name": "guest", "version": "1.0.0", "entry": "guest:Guest"}, "module.json")


def planned(mode: str, refused: str = "") -> Planned:
    """A bundle that is to run."""
    return Planned(Path("guest"), "guest", MANIFEST, mode, refused)


@pytest.mark.parametrize(
    ("resources", "user", "expected"),
    [
        (Resources(), "", ""),
        (Resources(memory_mib=8), "", f"memory={32 * 1024 * 1024}"),
        (Resources(memory_mib=0.5, cpu=0.25), "", f"memory={int(24.5 * 1024 * 1024)} cpu=0.25"),
        (Resources(disk_mib=50), "nobody:65534:65534", "user=nobody:65534:65534"),
    ],
)
def test_a_limit_is_what_the_module_needs_beside_an_interpreter(resources: Resources, user: str, expected: str) -> None:
    """The manifest counts the module alone; what isn't named isn't limited."""
    assert words(resources, user) == expected


def test_a_bundle_with_a_user_of_its_own_leaves_the_node() -> None:
    """A process is the boundary between users; the note says why it isn't where it was asked for."""
    users = {"guest": "nobody"}
    moved = apart(planned("node"), users, processes=True)
    assert (moved.mode, moved.note) == ("fork", "it runs as user 'nobody', so in a process of its own")
    assert "local bus" in apart(planned("node"), users, processes=False).refused
    for one in (planned("process"), planned("fork"), planned("node", refused="no")):
        assert apart(one, users, processes=True) is one
    assert apart(planned("node"), {"other": "nobody"}, processes=True).mode == "node"


def test_what_runs_in_a_process_since_before_stays_there() -> None:
    """An AppManager that is back restarts nobody who runs."""
    assert as_running(planned("node"), {"guest": "fork"}).mode == "fork"
    assert as_running(planned("process"), {"guest": "process"}).mode == "process"
    assert as_running(planned("node"), {"other": "fork"}).mode == "node"
    assert as_running(planned("node", refused="no"), {"guest": "fork"}).mode == "node"


def test_a_user_that_does_not_exist_is_named() -> None:
    """Trying again would not help: the operator has to act."""
    with pytest.raises(ModuleInvalid, match="'nobody_there', whom this machine doesn't know: add that user"):
        user_called("nobody_there")


def test_the_users_are_read_from_the_site_file(tmp_path: Path) -> None:
    """Beside what else it says."""
    file = tmp_path / "site.json"
    file.write_text('{"users": {"guest": "nobody"}}')
    assert read_site_file(file).document.users == {"guest": "nobody"}
