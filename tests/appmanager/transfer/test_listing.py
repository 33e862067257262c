"""Which bundles lie in a store, as a real one tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appmanager.transfer.listing import Listed, entry, listed, missing, put_on_list, take_off_list
from appmanager.transfer.putting import discard, put
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import DOMAIN
from gridlink.errors import Refused
from tests.appmanager.transfer.conftest import SITE


async def test_a_store_tells_what_lies_in_it_and_whether_it_is_whole(desk: JetStream, glb: Path) -> None:
    """An operator installs by name what somebody else has sent."""
    assert await listed(desk, SITE, DOMAIN) == []
    reference = await put(desk, SITE, glb)
    first = entry("lamp", "1.0.0", "d" * 64, reference)
    others = replace(first, version="1.1.0-rc.1+a2"), replace(first, name="lamp_post")
    for one in (first, *others):
        await put_on_list(desk, SITE, one)
    assert {(one.name, one.version) for one in await listed(desk, SITE, DOMAIN)} == {
        ("lamp", "1.0.0"),
        ("lamp", "1.1.0-rc.1+a2"),
        ("lamp_post", "1.0.0"),
    }
    assert [one.version for one in await listed(desk, SITE, DOMAIN, "lamp")] == ["1.0.0", "1.1.0-rc.1+a2"]
    assert await missing(desk, SITE, first) == 0
    await take_off_list(desk, SITE, first)
    assert [one.version for one in await listed(desk, SITE, DOMAIN, "lamp")] == ["1.1.0-rc.1+a2"]
    await discard(desk, SITE, reference)
    assert await missing(desk, SITE, first) == reference.chunks


async def test_listed_anew_it_is_listed_once(desk: JetStream, glb: Path) -> None:
    """A version that is packed again takes the place of the first."""
    reference = await put(desk, SITE, glb)
    for digest in ("a" * 64, "b" * 64):
        await put_on_list(desk, SITE, entry("lamp", "1.0.0", digest, reference))
    assert [one.digest for one in await listed(desk, SITE, DOMAIN, "lamp")] == ["b" * 64]


def test_an_entry_that_refers_to_no_store_is_refused() -> None:
    """It would have a board read a path of somebody else's choice."""
    with pytest.raises(Refused, match="expected a reference to a store"):
        _ = Listed("lamp", "1.0.0", "d", "/etc/passwd").reference
