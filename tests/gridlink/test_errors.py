"""Errors: one root, and each the same class again after it has crossed the bus."""

from __future__ import annotations

import pytest

from gridlink import errors
from gridlink.bus import wire
from gridlink.errors import GridlinkError, PayloadInvalid, PayloadTooLarge, from_wire

ALL = sorted(
    (c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, GridlinkError)), key=lambda c: c.__name__
)


def test_there_are_errors_to_test() -> None:
    """The list below is found by looking: an empty one would pass everything."""
    assert len(ALL) > 20


@pytest.mark.parametrize("cls", ALL)
def test_an_error_is_the_same_class_after_the_wire(cls: type[GridlinkError]) -> None:
    """`except Busy` must work for a remote receiver as for a local one."""
    error = cls("expected this, got that: do the other")
    headers, body = wire.error_reply(error)
    back = wire.error_of(headers, body)
    assert type(back) is cls
    assert str(back) == str(error)
    assert back.details == error.details
    assert headers == {wire.ERROR: str(error), wire.ERROR_CODE: str(cls.code)}
    assert 400 <= cls.code < 600


def test_typed_fields_cross_the_wire() -> None:
    """A program acts on fields, not on sentences."""
    invalid = PayloadInvalid("no", path="$.value_pu", expected="float", got="str")
    back = wire.error_of(*wire.error_reply(invalid))
    assert isinstance(back, PayloadInvalid)
    assert (back.path, back.expected, back.got) == ("$.value_pu", "float", "str")
    large = wire.error_of(*wire.error_reply(PayloadTooLarge("big", size_bytes=9, limit_bytes=8)))
    assert isinstance(large, PayloadTooLarge)
    assert (large.size_bytes, large.limit_bytes) == (9, 8)


@pytest.mark.parametrize("name", ["", "NoSuchError", "Exception", "SystemExit", "__class__"])
def test_an_unknown_class_becomes_the_root(name: str) -> None:
    """A newer node may raise what this one doesn't know, and nobody may make us raise anything else."""
    error = from_wire(name, "text", {"path": "$"})
    assert type(error) is GridlinkError
    assert str(error) == "text"


def test_an_error_of_a_modules_own_class_crosses_where_both_sides_know_it() -> None:
    """A bundle may derive its own errors from GridlinkError."""

    class MeterSilent(GridlinkError):
        fields = ("meter",)

        def __init__(self, message: str, *, meter: str = "") -> None:
            super().__init__(message)
            self.meter = meter

    back = wire.error_of(*wire.error_reply(MeterSilent("silent", meter="bus_3")))
    assert isinstance(back, MeterSilent)
    assert back.meter == "bus_3"
