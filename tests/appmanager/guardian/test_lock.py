"""One guardian a directory: the lock, without processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appmanager.guardian.lock import ManagedLock
from gridlink.errors import ManagedDirectoryBusy


def test_a_held_lock_is_refused_with_its_holder(tmp_path: Path) -> None:
    """The second is told who is first."""
    state = tmp_path / ".gridlink"
    state.mkdir()
    first, second = ManagedLock(str(state)), ManagedLock(str(state))
    first.take("process 42")
    with pytest.raises(ManagedDirectoryBusy, match=re.escape(f"{tmp_path} is run by process 42 already")):
        second.take("process 43")
    first.close()
    second.take("process 43")
    assert (state / "lock").read_text() == "process 43"
    second.close()
    second.close()


def test_a_longer_former_holder_leaves_nothing_of_its_name(tmp_path: Path) -> None:
    """The file is written anew."""
    lock = ManagedLock(str(tmp_path))
    lock.take("process 123456")
    lock.close()
    lock.take("process 7")
    assert (tmp_path / "lock").read_text() == "process 7"
    lock.close()
