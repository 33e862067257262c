"""The registry's pure core: announcements that are late, lost, doubled or in another order end in the same view."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gridlink.lifecycle import State
from gridlink.registry.entry import Announcement, Entry, Heartbeat, Leave, Update
from gridlink.registry.view import AGE_STEP_S, GONE_S, SUSPECT_S, Change, View


def entry(name: str, node: str = "n1", state: State = State.RUNNING) -> Entry:
    """An entry of an instance."""
    return Entry(
        name=name, instance=f"{name}@{node}", node=node, machine="m", pid=1, version="1.0.0", mode="node", state=state
    )


def news(version: int, *entries: Entry, node: str = "n1", boot: str = "b1") -> Announcement:
    """An announcement of a node."""
    return Announcement(node, "m", boot, version, entries)


def names(view: View) -> list[str]:
    """The instances that the view knows."""
    return [one.instance for one in view.entries()]


def test_an_announcement_says_what_changed() -> None:
    """Watchers get changes, not lists."""
    view = View()
    (appeared,) = view.announced(news(1, entry("a")), 0.0)
    assert (appeared.instance, appeared.before, appeared.after) == ("a@n1", None, entry("a"))
    stopping = entry("a", state=State.STOPPING)
    (changed,) = view.announced(news(2, stopping), 0.0)
    assert (changed.before, changed.after) == (entry("a"), stopping)
    (gone,) = view.announced(news(3), 0.0)
    assert (gone.before, gone.after) == (stopping, None)


def test_an_update_changes_what_it_names_alone() -> None:
    """A node with a thousand modules doesn't say all of them again when one changes."""
    view = View()
    view.announced(news(1, entry("a"), entry("b"), entry("c")), 0.0)
    stopping = entry("b", state=State.STOPPING)
    changes = view.updated(Update("n1", "b1", 2, (stopping, entry("d")), ("a@n1",)), 0.0)
    assert [(one.instance, one.before, one.after) for one in changes] == [
        ("a@n1", entry("a"), None),
        ("b@n1", entry("b"), stopping),
        ("d@n1", None, entry("d")),
    ]
    assert names(view) == ["b@n1", "c@n1", "d@n1"]


def test_an_update_that_is_not_the_next_one_changes_nothing_and_the_heartbeat_tells() -> None:
    """One was lost, or it is of a process that isn't known: what it builds on isn't there."""
    view = View()
    assert view.updated(Update("n1", "b1", 2, (entry("a"),)), 0.0) == []
    view.announced(news(1), 0.0)
    for update in (Update("n1", "b1", 3, (entry("a"),)), Update("n1", "b2", 2, (entry("a"),))):
        assert view.updated(update, 0.0) == []
    assert names(view) == []
    assert view.heard(Heartbeat("n1", "b1", 3), 0.0)


def test_an_update_is_a_sign_of_life() -> None:
    """A node that has much to say needs no heartbeat meanwhile."""
    view = View()
    view.announced(news(1, entry("a")), 0.0)
    view.updated(Update("n1", "b1", 2, (entry("b"),)), 3.0)
    assert view.aged(3.0 + SUSPECT_S, "n0") == []
    assert names(view) == ["a@n1", "b@n1"]


def test_an_older_or_doubled_announcement_changes_nothing() -> None:
    """Messages may be reordered by a reconnect."""
    view = View()
    view.announced(news(2, entry("a"), entry("b")), 0.0)
    assert view.announced(news(2, entry("a"), entry("b")), 0.0) == []
    assert view.announced(news(1, entry("a")), 0.0) == []
    assert names(view) == ["a@n1", "b@n1"]


def test_a_lost_announcement_shows_by_the_next_heartbeat() -> None:
    """It heals within a second."""
    view = View()
    view.announced(news(1, entry("a")), 0.0)
    assert not view.heard(Heartbeat("n1", "b1", 1), 1.0)
    assert view.heard(Heartbeat("n1", "b1", 2), 1.0)
    view.announced(news(2), 1.1)
    assert not view.heard(Heartbeat("n1", "b1", 2), 2.0)


def test_a_heartbeat_of_an_unknown_node_or_boot_asks_for_an_announcement() -> None:
    """A newcomer, or a node that was started again."""
    view = View()
    assert view.heard(Heartbeat("n1", "b1", 1), 0.0)
    view.announced(news(5, entry("a")), 0.0)
    assert view.heard(Heartbeat("n1", "b2", 1), 0.0)


def test_a_new_boot_counts_from_the_start() -> None:
    """A restarted node's version 1 is newer than its former process's 57."""
    view = View()
    view.announced(news(57, entry("a"), entry("b")), 0.0)
    changes = view.announced(news(1, entry("a"), boot="b2"), 0.0)
    assert [change.instance for change in changes] == ["b@n1"]
    assert names(view) == ["a@n1"]


def test_a_silent_node_is_suspect_and_then_gone() -> None:
    """After 2.5 and 4 s of silence; a word in between clears it."""
    view = View()
    view.announced(news(1, entry("a")), 0.0)
    assert view.aged(SUSPECT_S, "me") == []
    assert [node.suspect for node in view.nodes.values()] == [False]
    view.aged(SUSPECT_S + 0.1, "me")
    assert [node.suspect for node in view.nodes.values()] == [True]
    view.heard(Heartbeat("n1", "b1", 1), 3.0)
    assert [node.suspect for node in view.nodes.values()] == [False]
    assert view.aged(3.0 + GONE_S, "me") == []
    (gone,) = view.aged(3.0 + GONE_S + 0.1, "me")
    assert (gone.instance, gone.after) == ("a@n1", None)
    assert view.nodes == {}


def test_the_next_look_is_when_a_node_may_be_gone_and_not_before() -> None:
    """To look four times a second costs more than all of its other work costs an idle node."""
    view = View()
    assert view.ages_in_s(5.0, "me", 1.0) == 1.0
    view.announced(news(1, entry("a")), 0.0)
    assert view.ages_in_s(0.5, "me", 1.0) == 1.0
    assert view.ages_in_s(3.5, "me", 1.0) == GONE_S - 3.5
    assert view.ages_in_s(GONE_S, "me", 1.0) == view.ages_in_s(9.0, "me", 1.0) == AGE_STEP_S
    assert view.ages_in_s(3.5, "n1", 1.0) == 1.0  # its own node's


def test_ones_own_node_never_ages() -> None:
    """It hears no heartbeat of its own."""
    view = View()
    view.announced(news(1, entry("a")), 0.0)
    assert view.aged(1e6, "n1") == []
    assert names(view) == ["a@n1"]


def test_a_leave_forgets_a_node_at_once_but_not_its_successor() -> None:
    """A late `leave` of the former process must not hide the new one."""
    view = View()
    view.announced(news(1, entry("a"), boot="b2"), 0.0)
    assert view.left(Leave("n1", "b1")) == []
    assert view.left(Leave("unknown", "b1")) == []
    (gone,) = view.left(Leave("n1", "b2"))
    assert gone.instance == "a@n1"


def test_what_its_own_node_says_of_an_instance_counts_more_than_what_a_manager_says() -> None:
    """The AppManager announces a process that starts; once the process speaks for itself it is believed."""
    view = View()
    managers = entry("a", node="n1-a", state=State.STARTING)
    view.announced(news(1, managers), 0.0)
    assert view.entries() == [managers]
    own = structs.replace(managers, state=State.RUNNING)
    view.announced(news(1, own, node="n1-a"), 0.0)
    assert view.entries() == [own]
    view.left(Leave("n1-a", "b1"))
    assert view.entries() == [managers]


VERSIONS = [news(n, *(entry(name) for name in "abcdef"[: (n * 7) % 5 + 1])) for n in range(1, 8)]


def update(before: Announcement, after: Announcement) -> Update:
    """What a node says that has changed from one to the other."""
    gone = {e.instance for e in before.entries} - {e.instance for e in after.entries}
    new = tuple(e for e in after.entries if e not in before.entries)
    return Update(after.node, after.boot, after.version, new, tuple(sorted(gone)))


UPDATES = [update(before, after) for before, after in pairwise(VERSIONS)]
WORDS: list[Announcement | Update] = [*VERSIONS, *UPDATES]


def take(view: View, word: Announcement | Update) -> list[Change]:
    """Has the view take in what came."""
    return view.announced(word, 0.0) if isinstance(word, Announcement) else view.updated(word, 0.0)


@given(st.permutations(WORDS), st.lists(st.sampled_from(WORDS), max_size=10))
def test_any_order_with_any_doubles_ends_in_the_newest(
    order: list[Announcement | Update], doubled: list[Announcement | Update]
) -> None:
    """However the network shuffles, all nodes end with the same view."""
    view = View()
    for word in [*order, *doubled]:
        take(view, word)
    assert tuple(view.entries()) == tuple(sorted(VERSIONS[-1].entries, key=lambda e: e.instance))


def test_updates_in_order_are_as_good_as_announcements() -> None:
    """The usual case: one announcement, then nothing but updates."""
    view = View()
    take(view, VERSIONS[0])
    for step, announcement in zip(UPDATES, VERSIONS[1:], strict=True):
        take(view, step)
        assert view.entries() == sorted(announcement.entries, key=lambda e: e.instance)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_changes_add_up_to_the_view(arrivals: list[Announcement | Update]) -> None:
    """A watcher that follows the changes knows what one that asks is told."""
    view = View()
    followed: dict[str, Entry] = {}
    for word in arrivals:
        for change in take(view, word):
            assert followed.get(change.instance) == change.before
            if change.after is None:
                del followed[change.instance]
            else:
                followed[change.instance] = change.after
    assert sorted(followed) == names(view)


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_whatever_was_lost_one_heartbeat_and_its_answer_heal(arrivals: list[Announcement | Update]) -> None:
    """The heartbeat carries the newest version; who lacks it asks, and has it."""
    view = View()
    for word in arrivals:
        take(view, word)
    if view.heard(Heartbeat("n1", "b1", 7), 1.0):
        view.announced(VERSIONS[-1], 1.0)
    assert {e.instance for e in view.entries()} == {e.instance for e in VERSIONS[-1].entries}
