"""What a machine has is found out by a process that ends."""

from __future__ import annotations

from appmanager.packed.host_process import ask
from appmanager.packed.target import this_host


def test_a_process_of_its_own_tells_the_same() -> None:
    """The checks must not depend on who looked."""
    assert ask() == this_host()
