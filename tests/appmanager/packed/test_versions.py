"""Version ranges and the order of versions, as the standards have them."""

from __future__ import annotations

import random

import pytest
from packaging.specifiers import SpecifierSet

from appmanager.packed.versions import PackageVersion, in_range, precedence

VERSIONS = [
    "0.9",
    "1",
    "1.0.0",
    "1.2.3",
    "1.10",
    "2.0rc1",
    "2.0",
    "2.0.post1",
    "2.0.1.dev3",
    "2.1a1",
    "2.16.0",
    "1!0.5",
    "3.0+x.1",
]
RANGES = [
    ">=1",
    "<2",
    ">=1,<2",
    "~=1.2",
    "~=1.2.3",
    "==1.*",
    "!=1.*",
    "==2.0",
    "!=2.0",
    ">1",
    "<=2.0",
    ">=2.0rc1",
    "<2.0.1",
    "==1.0",
]


@pytest.mark.parametrize("version", VERSIONS)
def test_ranges_mean_what_they_mean_for_pip(version: str) -> None:
    """Against the library that pip itself uses."""
    for wanted in RANGES:
        expected = SpecifierSet(wanted).contains(version, prereleases=True)
        assert in_range(version, wanted) == expected, f"{version} in {wanted}"


@pytest.mark.parametrize("text", ["", "x", "1.x", "1..2", ">=", ">=1 <2", "=>1", "1"])
def test_what_is_no_range_is_told(text: str) -> None:
    """A typing error in a manifest must not mean `any version`."""
    if text:
        with pytest.raises(ValueError, match="expected a"):
            in_range("1.0", text)
    with pytest.raises(ValueError, match="expected a version"):
        PackageVersion("one")


def test_the_order_of_bundles_is_that_of_semver() -> None:
    """The example of the standard, and build numbers, which say nothing."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    ordered += ["1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=precedence) == ordered
    assert precedence("1.0.0+1") == precedence("1.0.0+2")
