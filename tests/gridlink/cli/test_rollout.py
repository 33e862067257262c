"""Which sites are in which wave, and what happens after a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gridlink.cli.rollout import Rollout, is_several, matching

SITES = st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=12).map(tuple)
SIZES = st.integers(1, 13)


def carried(rollout: Rollout, failing: set[str]) -> tuple[list[tuple[str, ...]], dict[str, bool]]:
    """Does the waves; what was begun together, and how each ended."""
    ended: dict[str, bool] = {}
    begun = []
    while wave := rollout.next(ended):
        begun.append(wave)
        ended.update({site: site not in failing for site in wave})
    return begun, ended


@given(SITES, SIZES)
def test_every_site_is_in_exactly_one_wave_and_they_keep_their_order(sites: tuple[str, ...], size: int) -> None:
    """None is forgotten, none is done twice."""
    begun, ended = carried(Rollout(sites, size), set())
    assert tuple(site for wave in begun for site in wave) == sites
    assert all(len(wave) == size for wave in begun[:-1])
    assert set(ended) == set(sites)


@given(SITES, SIZES, st.data())
def test_the_wave_in_which_one_fails_is_the_last_where_that_was_asked_for(
    sites: tuple[str, ...], size: int, data: st.DataObject
) -> None:
    """The sites of later waves are untouched, and named; those of the failing wave are done to their end."""
    failing = data.draw(st.sets(st.sampled_from(sites or ("a",))))
    rollout = Rollout(sites, size, stop_on_failure=True)
    begun, ended = carried(rollout, failing)
    expected = []
    for wave in rollout.waves():
        expected.append(wave)
        if failing & set(wave):
            break
    assert begun == expected
    assert rollout.untouched(ended) == tuple(site for site in sites if site not in ended)


@given(SITES, SIZES, st.data())
def test_without_it_all_others_are_done_all_the_same(sites: tuple[str, ...], size: int, data: st.DataObject) -> None:
    """One board that is away must not keep a thousand from their update."""
    failing = data.draw(st.sets(st.sampled_from(sites or ("a",))))
    rollout = Rollout(sites, size)
    _, ended = carried(rollout, failing)
    assert rollout.untouched(ended) == ()


def test_a_wave_whose_sites_have_not_all_begun_is_begun_with_the_rest() -> None:
    """A failure in a wave doesn't keep the rest of the same wave back: they go at once."""
    rollout = Rollout(("a", "b", "c"), 2, stop_on_failure=True)
    assert rollout.next({"a": False}) == ("b",)
    assert rollout.next({"a": False, "b": True}) == ()


def test_a_pattern_means_the_sites_that_are_there_and_a_name_the_one_that_it_names() -> None:
    """`a,west*`: a is meant even if it isn't there, so that it is told; and no site is meant twice."""
    known = ("west2", "west1", "east1")
    assert matching("west*", known) == ("west1", "west2")
    assert matching("a, west*,west1", known) == ("a", "west1", "west2")
    assert matching("north*", known) == ()
    assert [is_several(one) for one in ("a", "a,b", "a*", "a?", "[ab]", "")] == [False, True, True, True, True, False]
