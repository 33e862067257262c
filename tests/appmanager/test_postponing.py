"""How long a busy module may put off a command."""

from __future__ import annotations

import pytest

from appmanager.postponing import POSTPONED_S, Postponement
from gridlink.errors import Busy


def test_a_busy_module_is_waited_for_until_it_is_not_and_not_longer_than_the_limit() -> None:
    """A module whose `busy()` never ends must not keep an operator waiting for ever, and has to say why."""
    postponed = Postponement("tap@vm", 100.0)
    assert postponed.goes_on("a switching sequence runs", 100.0)
    assert postponed.goes_on("a switching sequence runs", 100.0 + POSTPONED_S)
    assert not postponed.goes_on("", 100.0 + POSTPONED_S + 1)
    with pytest.raises(Busy, match="tap@vm has been busy for 60 s: a switching sequence runs: try again later"):
        postponed.goes_on("a switching sequence runs", 100.0 + POSTPONED_S + 1)
