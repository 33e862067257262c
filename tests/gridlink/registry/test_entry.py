"""The registry's messages as they travel."""

from __future__ import annotations

import pytest
from msgspec import structs

from gridlink.bench.crowd import entry
from gridlink.clock import Reference
from gridlink.codec import codec
from gridlink.errors import PayloadInvalid
from gridlink.registry.entry import KINDS, Announcement, Heartbeat, Leave, Sync, Update, encoded

CLOCK = Reference(1779235920.5, 60.0, "data_generator@n1", 3)
WORDS = {
    "announce": Announcement("n1", "m", "b", 2, (entry("n1", 0), entry("n1", 1)), ("n2",), CLOCK),
    "update": Update("n1", "b", 3, (entry("n1", 1),), ("module_0@n1",)),
    "heartbeat": Heartbeat("n1", "b", 2),
    "sync": Sync("n1", "n2"),
    "leave": Leave("n1", "b"),
}


def test_every_kind_is_tried_here() -> None:
    """A new one needs an example."""
    assert WORDS.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", WORDS)
def test_what_a_node_says_is_what_the_other_hears(kind: str) -> None:
    """It is encoded without the check that payloads get: this is that check."""
    assert codec(KINDS[kind]).decode(encoded(WORDS[kind])) == WORDS[kind]  # type: ignore[arg-type]


def test_text_that_json_can_not_hold_is_refused() -> None:
    """A file name of bytes in the reason of a failed start."""
    bad = structs.replace(entry("n1", 0), reason="\udcff")
    with pytest.raises(PayloadInvalid, match="the registry can't say it"):
        encoded(Announcement("n1", "m", "b", 1, (bad,)))
