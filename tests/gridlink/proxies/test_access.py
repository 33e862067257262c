"""Access: denied at the sender with the rule that is missing, and again at the receiver."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from gridlink.errors import AccessDenied
from gridlink.proxies.access import Access, AccessSettings
from gridlink.proxies.policy import Rule
from gridlink.proxies.scope import Coverage, Scope
from tests.gridlink.proxies.place import Heard, Place, asked, event

RULES = (Rule("guard", "role storage", ("get",)), Rule("meter", "topic measurement"))


def access(place: Place, *rules: Rule) -> Access:
    """The proxy at a place."""
    policy = Access.prepare(AccessSettings(rules), Path(), "site.json: proxies[0] (access)")
    proxy, around = Access(policy), place.around()
    proxy.attach(around, Coverage(Scope(), around))
    return proxy


async def test_what_a_rule_allows_passes_both_ways() -> None:
    """Requests and events alike."""
    handler = Heard()
    place = Place()
    for message in (asked(), event()):
        await access(Place("guard@a"), *RULES).outgoing(access(place, *RULES).incoming(handler))(message)
    assert len(handler.messages) == 2
    assert place.refused == 0


async def test_what_no_rule_allows_is_denied_before_it_is_sent() -> None:
    """The sender gets the sentence, and in it the rule that would help."""
    handler = Heard()
    with pytest.raises(AccessDenied, match="guard@a may not send set to role storage") as caught:
        await access(Place("guard@a"), *RULES).outgoing(handler)(asked(type="set"))
    assert handler.messages == []
    assert caught.value.details == {"source": "guard@a", "to": "role storage", "type": "set"}
    assert "site.json: proxies[0] (access)" in str(caught.value)
    found = re.search(r"\{.*\}", str(caught.value))
    assert found
    proposed = msgspec.convert(json.loads(found[0]), Rule)
    await access(Place("guard@a"), *RULES, proposed).outgoing(handler)(asked(type="set"))
    assert len(handler.messages) == 1


@pytest.mark.parametrize("source", ["mallory@c", "", "guard.x", "guard;@a"])
async def test_the_receiver_denies_it_too_and_counts(source: str) -> None:
    """A process that leaves the proxy out gets no further."""
    place, handler = Place(), Heard()
    with pytest.raises(AccessDenied):
        await access(place, *RULES).incoming(handler)(asked(source=source))
    assert (handler.messages, place.refused) == ([], 1)


async def test_an_empty_policy_denies_everything() -> None:
    """Deny by default."""
    with pytest.raises(AccessDenied):
        await access(Place("guard@a")).outgoing(Heard())(asked())


async def test_invented_names_do_not_fill_the_memory() -> None:
    """Decisions are remembered, for so many names only."""
    proxy = access(Place(), *RULES)
    call = proxy.incoming(Heard())
    for number in range(10_000):
        with pytest.raises(AccessDenied):
            await call(asked(source=f"x{number}@a"))
    assert len(proxy._decided) <= 4096
