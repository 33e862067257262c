"""The codec: what the typed decoder takes is what the published schema takes, and nothing is altered on its way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, TypedDict

import jsonschema
import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridlink.codec import Codec, _not_finite, _surely_finite, codec, dumps, encode, loads
from gridlink.contract import schema_of
from gridlink.errors import PayloadInvalid


class Band(StrEnum):
    """A closed set of words."""

    EN50160 = "en50160"
    OPERATING = "operating"


@dataclass(frozen=True, slots=True)
class Point:
    """A nested value."""

    value: float
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Everything:
    """A field of each kind that contracts use."""

    meter: str
    count: int
    good: bool = True
    band: Band = Band.EN50160
    mode: Literal["a", "b"] = "a"
    position: Annotated[int, msgspec.Meta(ge=-9, le=9)] = 0
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=3)] = "x"
    points: list[Point] = field(default_factory=list)
    by_name: dict[str, Point] = field(default_factory=dict)
    pair: tuple[int, str] | None = None
    many: tuple[float, ...] = ()


class Meter(TypedDict):
    """A TypedDict is a contract too."""

    meter: str
    value: float


TYPES: list[Any] = [Everything, Point, Meter, list[Point], dict[str, float], int, str, bool, float | None, int | str]
FRACTIONS = st.floats(-1e6, 1e6).filter(lambda number: not number.is_integer())
NUMBERS = st.integers(-(2**53), 2**53) | FRACTIONS
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(["a", "b", "en50160", "", "xyzz"])
POINTS: st.SearchStrategy[Any] = st.fixed_dictionaries({"value": NUMBERS | SCALARS}, optional={"unit": SCALARS})
ALMOST: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"meter": st.just("bus_3") | SCALARS, "count": st.integers(-5, 5) | SCALARS},
    optional={
        "good": st.booleans() | SCALARS,
        "band": st.sampled_from(["en50160", "operating"]) | SCALARS,
        "mode": st.sampled_from(["a", "b", "c"]),
        "position": st.integers(-12, 12) | SCALARS,
        "name": st.sampled_from(["", "a", "abc", "abcd", "äöü"]) | SCALARS,
        "points": st.lists(POINTS, max_size=2) | SCALARS,
        "by_name": st.dictionaries(st.sampled_from(["p", "q"]), POINTS, max_size=2) | SCALARS,
        "pair": st.lists(SCALARS, max_size=3) | SCALARS,
        "many": st.lists(NUMBERS | SCALARS, max_size=3),
        "unknown": SCALARS,
        "value": SCALARS,
    },
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)
PAYLOADS = st.one_of(
    ALMOST, POINTS, st.lists(POINTS, max_size=2), st.dictionaries(st.text(max_size=3), NUMBERS), ANYTHING
)


def accepted(type_: Any, body: bytes) -> bool:
    """Whether the codec takes a body."""
    try:
        codec(type_).decode(body)
    except PayloadInvalid:
        return False
    return True


@pytest.mark.parametrize("type_", TYPES, ids=str)
@settings(max_examples=150, deadline=None)
@given(payload=PAYLOADS)
def test_the_decoder_accepts_exactly_what_the_published_schema_accepts(type_: Any, payload: Any) -> None:
    """The schema is what other people program against: it must say neither more nor less than what we check."""
    by_schema = jsonschema.Draft202012Validator(schema_of(type_)).is_valid(payload)
    assert accepted(type_, orjson.dumps(payload)) == by_schema


def test_a_whole_number_written_as_a_fraction_is_no_int() -> None:
    """The one known difference: JSON Schema calls 1.0 an integer. We are the stricter ones, and say what came."""
    with pytest.raises(PayloadInvalid) as caught:
        codec(int).decode(b"1.0")
    assert (caught.value.expected, caught.value.got) == ("int", "float")


@settings(max_examples=100)
@given(
    st.builds(
        Everything,
        meter=st.text(max_size=5),
        count=st.integers(-(2**53), 2**53),
        band=st.sampled_from(Band),
        points=st.lists(st.builds(Point, value=st.floats(allow_nan=False, allow_infinity=False)), max_size=2),
        pair=st.none() | st.tuples(st.integers(0, 9), st.text(max_size=3)),
    )
)
def test_a_typed_value_comes_back_equal(value: Everything) -> None:
    """Nothing is lost or rounded on the wire."""
    assert codec(Everything).decode(codec(Everything).encode(value)) == value


@pytest.mark.parametrize(
    ("type_", "body", "path", "expected", "got"),
    [
        (Point, b'{"value": "x"}', "$.value", "float", "str"),
        (list[Point], b'[{"value": 1}, {"value": null}]', "$[1].value", "float", "null"),
        (dict[str, Point], b'{"p": {"value": []}}', "$[...].value", "float", "array"),
        (Point, b"[]", "$", "object", "array"),
        (int, b'"x"', "$", "int", "str"),
    ],
)
def test_an_error_names_path_expected_and_got(type_: Any, body: bytes, path: str, expected: str, got: str) -> None:
    """The sender must find its mistake without our source."""
    with pytest.raises(PayloadInvalid) as caught:
        codec(type_).decode(body)
    assert (caught.value.path, caught.value.expected, caught.value.got) == (path, expected, got)
    assert path in str(caught.value)


def test_a_missing_field_is_named() -> None:
    """The commonest mistake of all."""
    with pytest.raises(PayloadInvalid, match="`value`"):
        codec(Point).decode(b"{}")


@pytest.mark.parametrize("type_", [Point, int, str, None, Any, list[int]], ids=str)
@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"nul", b"1 2", b'"\xff"', b"{'a': 1}"])
def test_what_is_no_json_is_refused_and_shown(type_: Any, body: bytes) -> None:
    """A body of another program may be anything."""
    with pytest.raises(PayloadInvalid):
        codec(type_).decode(body)


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_payload_invalid(body: bytes) -> None:
    """No foreign exception leaves the codec."""
    for type_ in (Point, Everything, Any, None, int):
        accepted(type_, body)


def test_a_long_body_is_cut_in_the_error() -> None:
    """A megabyte of garbage must not become a megabyte of log."""
    with pytest.raises(PayloadInvalid) as caught:
        codec(Point).decode(b"x" * 1_000_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b" {} "])
def test_no_payload_may_be_said_in_three_ways(body: bytes) -> None:
    """`nats request role.x.status ''` and `'{}'` are both natural."""
    assert codec(None).decode(body) is None


def test_a_payload_where_none_is_expected_is_refused() -> None:
    """A sender that believes its payload is read must learn that it isn't."""
    with pytest.raises(PayloadInvalid, match="expected no payload"):
        codec(None).decode(b"5")
    with pytest.raises(PayloadInvalid, match="expected no payload"):
        codec(None).encode(5)


@dataclass(frozen=True)
class Query:
    """All fields have defaults."""

    limit: int = 1000


def test_an_empty_body_is_an_empty_object_or_null_where_the_type_takes_it() -> None:
    """A request without payload means the defaults; for an optional value it means none."""
    assert codec(Query).decode(b"") == Query()
    assert codec(Query | None).decode(b"") is None
    assert codec(int | None).decode(b"") is None
    assert codec(Any).decode(b"") is None


@pytest.mark.parametrize("type_", [int | None, Query | None, list[int] | None, Any, None], ids=str)
def test_none_comes_back_as_none(type_: Any) -> None:
    """An optional reply of nothing must not become a value of defaults, or an error."""
    assert codec(type_).decode(codec(type_).encode(None)) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("type_", [Any, float, float | None, Point, list[float], dict[str, float | None]], ids=str)
def test_nan_and_infinity_are_refused_at_the_sender(type_: Any, number: float) -> None:
    """JSON has neither; to send null instead would alter a measurement on its way."""
    values: dict[Any, Any] = {Point: Point(number), list[float]: [1.0, number], dict[str, float | None]: {"a": number}}
    with pytest.raises(PayloadInvalid):
        codec(type_).encode(values.get(type_, number))


def test_a_value_of_none_beside_finite_numbers_is_sent() -> None:
    """The search for NaN must not take a null for one."""
    assert loads(codec(Any).encode({"a": None, "b": [1.5, Point(2.0)]})) == {
        "a": None,
        "b": [1.5, {"value": 2.0, "unit": None}],
    }


@given(
    st.recursive(
        st.none() | st.floats() | st.text(max_size=9) | st.binary(max_size=9) | st.integers(-(2**70), 2**70),
        lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=3) | st.floats(), part, max_size=3),
        max_leaves=12,
    )
)
def test_no_nan_hides_among_other_values(value: Any) -> None:
    """The short way to see that there is none may be wrong about bytes that look like one, and never the other way."""
    if _surely_finite(value):
        assert _not_finite(value) is None


def test_bytes_that_look_like_a_nan_are_sent() -> None:
    """Then the value is gone through after all."""
    value = [None, b"\xcb\x7f\xf8"]
    assert not _surely_finite(value)
    assert loads(encode(value)) == [None, "y3/4"]


@pytest.mark.parametrize("value", [object(), {1: {object()}}, 1j, lambda: 0, "\ud800"], ids=repr)
def test_what_json_cannot_hold_is_refused_at_the_sender(value: Any) -> None:
    """The author gets the error where the mistake is, not the receiver."""
    with pytest.raises(PayloadInvalid, match="can't be sent as JSON"):
        encode(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    """Endless recursion is a PayloadInvalid like any other."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PayloadInvalid):
        encode(endless)


def test_a_typed_value_of_the_wrong_type_is_refused_at_the_sender() -> None:
    """What is sent is what the receiver will accept."""
    with pytest.raises(PayloadInvalid, match=r"\$\.value"):
        codec(Point).encode({"value": "x"})


def test_a_codec_is_made_once_for_a_type() -> None:
    """Making a decoder costs a thousand times a decode."""
    assert codec(Point) is codec(Point)
    assert isinstance(codec(Point), Codec)


def test_plain_json_for_files_and_people() -> None:
    """`dumps` and `loads` are for documents, not for messages."""
    assert loads(dumps({"a": 1}, indent=True)) == {"a": 1}
    assert b"\n" in dumps({"a": 1}, indent=True)
    with pytest.raises(PayloadInvalid):
        loads(b"{")
