"""Whom a message to an address may reach: by role, topic and name, remembered, and forgotten with each change."""

from __future__ import annotations

from msgspec import structs

from gridlink import address
from gridlink.lifecycle import State
from gridlink.registry.entry import Entry
from gridlink.registry.reach import MAX_REMEMBERED, Reach
from tests.gridlink.registry.test_view import entry

OLTC = address.role("oltc")
TOPIC = address.topic("measurement")


class Site:
    """Entries that change, and how often they were gone through."""

    def __init__(self, *entries: Entry) -> None:
        self.entries, self.asked = list(entries), 0

    def __call__(self) -> list[Entry]:
        self.asked += 1
        return self.entries


def member(name: str, node: str = "n1", *, state: State = State.RUNNING, idempotent: tuple[str, ...] = ()) -> Entry:
    """An instance with the role, which hears the topic."""
    return structs.replace(
        entry(name, node, state), roles=("oltc",), subscribes={"measurement": {}}, idempotent=idempotent
    )


def test_behind_an_address_is_who_serves_it_whatever_its_state() -> None:
    """A policy holds for a module that is about to run, too."""
    one, two, other = member("a"), member("b", "n2", state=State.STARTING), entry("c")
    reach = Reach("n1", Site(one, two, other))
    assert reach.behind(OLTC) == (one, two)
    assert reach.behind(TOPIC) == (one, two)
    assert reach.behind(address.instance("b@n2")) == (two,)
    assert reach.behind(address.role("nobody")) == ()


def test_the_own_share_counts_those_that_run() -> None:
    """By it `prefer="any"` draws; who isn't known has it all, so that nothing leaves the node in vain."""
    reach = Reach("n1", Site(member("a"), member("b", "n2"), member("c", "n3"), member("d", "n3", state=State.FAILED)))
    assert reach.own_share(OLTC) == 1 / 3
    assert reach.own_share(address.role("nobody")) == 1.0


def test_a_request_may_be_done_twice_where_all_say_so_who_serve_it() -> None:
    """One that doesn't is enough to double a tap change."""
    careful, careless = member("a", "n2", idempotent=("read",)), member("b", "n2")
    site = Site(careful)
    reach = Reach("n1", site)
    assert reach.idempotent(OLTC, "read")
    assert not reach.idempotent(OLTC, "raise")
    assert not reach.idempotent(address.role("nobody"), "read")
    site.entries.append(careless)
    reach.forget()
    assert not reach.idempotent(OLTC, "read")
    assert reach.idempotent(address.instance("a@n2"), "read")


def test_twice_elsewhere_is_for_another_node_which_may_die() -> None:
    """A request to one's own node fails with oneself."""
    reach = Reach("n1", Site(member("a", "n1", idempotent=("read",))))
    assert reach.idempotent(OLTC, "read")
    assert not reach.twice_elsewhere(OLTC, "read")
    reach = Reach("n1", Site(member("a", "n2", idempotent=("read",))))
    assert reach.twice_elsewhere(OLTC, "read")
    assert not reach.twice_elsewhere(OLTC, "raise")


def test_answers_are_remembered_until_something_changes() -> None:
    """They are asked for with every message."""
    site = Site(member("a", "n2", idempotent=("read",)))
    reach = Reach("n1", site)
    for _ in range(3):
        assert reach.own_share(OLTC) == 0.0
        assert reach.twice_elsewhere(OLTC, "read")
    assert site.asked == 1
    site.entries.clear()
    reach.forget()
    assert reach.own_share(OLTC) == 1.0
    assert not reach.twice_elsewhere(OLTC, "read")


def test_what_is_remembered_is_bounded() -> None:
    """Anybody may send to any address, and a board has little memory."""
    reach = Reach("n1", Site())
    for number in range(3 * MAX_REMEMBERED):
        where = address.role(f"r{number}")
        reach.behind(where)
        reach.own_share(where)
        reach.twice_elsewhere(where, "read")
    for remembered in (reach._behind, reach._shares, reach._twice):
        assert len(remembered) <= MAX_REMEMBERED
