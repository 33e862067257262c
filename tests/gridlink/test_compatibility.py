"""Compatibility: what may be added, what breaks whom and why; and that `compatible` is never said wrongly."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gridlink.codec import codec
from gridlink.compatibility import Concerns, Finding, Severity, broken_users, compare, compatible
from gridlink.contract import schema_of
from gridlink.document import Document, Exchange, event_document, request_document
from gridlink.errors import PayloadInvalid
from gridlink.manifest import Manifest
from tests.gridlink.payloads import closed, valid, values_of


@dataclass(frozen=True)
class Measurement:
    """The first version of everything."""

    meter: str
    value: float
    limit: int = 1000


@dataclass(frozen=True)
class WithNote:
    """An optional field more."""

    meter: str
    value: float
    limit: int = 1000
    note: str | None = None


@dataclass(frozen=True)
class WithUnit:
    """A required field more."""

    meter: str
    value: float
    unit: str
    limit: int = 1000


@dataclass(frozen=True)
class WithoutValue:
    """A required field less."""

    meter: str
    limit: int = 1000


@dataclass(frozen=True)
class WithoutLimit:
    """An optional field less."""

    meter: str
    value: float


@dataclass(frozen=True)
class LimitRequired:
    """An optional field is required."""

    meter: str
    value: float
    limit: int


@dataclass(frozen=True)
class WholeValue:
    """A narrower type."""

    meter: str
    value: int
    limit: int = 1000


@dataclass(frozen=True)
class ValueOrNothing:
    """A wider type."""

    meter: str
    value: float | None
    limit: int = 1000


@dataclass(frozen=True)
class Bounded:
    """A narrower range."""

    meter: str
    value: float
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 1000


@dataclass(frozen=True)
class OtherDefault:
    """The same schema but for a default."""

    meter: str
    value: float
    limit: int = 10


@dataclass(frozen=True)
class Two:
    """An enumeration."""

    limit: Literal["en50160", "operating"]


@dataclass(frozen=True)
class Three:
    """An enumeration with one value more."""

    limit: Literal["en50160", "operating", "emergency"]


@dataclass(frozen=True)
class Tree:
    """A recursive type."""

    name: str
    children: list[Tree]


@dataclass(frozen=True)
class TreeWithNote:
    """The recursive type with a field more."""

    name: str
    children: list[TreeWithNote]
    note: str = ""


def role(payload: Any = None, reply: Any = None, **more: Exchange) -> Document:
    """Role storage with the request `add`."""
    return request_document("role", "storage", "", {"add": Exchange(schema_of(payload), schema_of(reply)), **more})


def topic(**payloads: Any) -> Document:
    """Topic measurement."""
    return event_document("topic:measurement", "topic measurement", "", {t: schema_of(p) for t, p in payloads.items()})


ADDED = "it was added: nobody sends it yet"
PAYLOADS: list[tuple[Any, Any, bool, str, str]] = [
    (Measurement, WithNote, False, "$.note", "the field 'note' was added: callers may leave it out"),
    (
        Measurement,
        WithoutLimit,
        False,
        "$.limit",
        "the field 'limit' was removed: it is passed over",
    ),
    (Measurement, WithoutValue, False, "$.value", "the field 'value' was removed"),
    (LimitRequired, Measurement, False, "$", "it was changed, and takes more than before"),
    (Measurement, ValueOrNothing, False, "$", "it was changed, and takes more than before"),
    (WholeValue, Measurement, False, "$", "it was changed, and takes more than before"),
    (Bounded, Measurement, False, "$", "takes more than before"),
    (Two, Three, False, "$", "takes more than before"),
    (Measurement, OtherDefault, False, "$.limit", "the default of 'limit' was changed from 1000 to 10"),
    (Tree, TreeWithNote, False, "$.note", "the field 'note' was added"),
    (None, Measurement | None, False, "$.meter", "the field 'meter' was added"),
    (
        Measurement,
        WithUnit,
        True,
        "$.unit",
        "field 'unit' was added: callers that don't send it are refused",
    ),
    (Measurement, LimitRequired, True, "$.limit", "the field 'limit' became required: callers that leave it out"),
    (Measurement, WholeValue, True, "$.value", "'value' took number, now takes integer"),
    (ValueOrNothing, Measurement, True, "$.value", "'value' took null, now takes number"),
    (Measurement, Bounded, True, "$.limit", "'limit' was narrowed from any number above to above or at 1"),
    (Three, Two, True, "$.limit", '\'limit\' no longer takes "emergency", only one of "en50160", "operating"'),
    (None, Measurement, True, "$", "the payload took null, now takes object"),
    (Measurement, None, True, "$", "the payload took object, now takes null"),
    (list[Measurement], list[WithUnit], True, "$[].unit", "the required field 'unit' was added"),
    (dict[str, Measurement], dict[str, WithUnit], True, "$.*.unit", "the required field 'unit' was added"),
]
REPLIES: list[tuple[Any, Any, bool, str, str]] = [
    (Measurement, WithNote, False, "$.note", "the field 'note' was added: those who don't know it pass over it"),
    (Measurement, WithUnit, False, "$.unit", "the field 'unit' was added"),
    (Measurement, WithoutLimit, False, "$.limit", "the field 'limit' was removed: nobody could rely on it"),
    (Measurement, LimitRequired, False, "$", "says no more than before"),
    (Measurement, WholeValue, False, "$", "says no more than before"),
    (ValueOrNothing, Measurement, False, "$", "says no more than before"),
    (Three, Two, False, "$", "says no more than before"),
    (Measurement, WithoutValue, True, "$.value", "the field 'value' was removed: {} that need it refuse"),
    (LimitRequired, Measurement, True, "$.limit", "the field 'limit' may be left out now: {} that need it"),
    (WholeValue, Measurement, True, "$.value", "'value' may now be number, {} expect integer"),
    (Measurement, ValueOrNothing, True, "$.value", "'value' may now be null, {} expect number"),
    (Bounded, Measurement, True, "$.limit", "'limit' was widened from above or at 1 to any number above"),
    (Two, Three, True, "$.limit", "'limit' may now be \"emergency\", which {} don't know"),
    (Measurement, None, True, "$", "the payload may now be null"),
]


def only(found: list[Finding], severity: Severity, path: str) -> Finding:
    """The one finding at a path."""
    return next(finding for finding in found if (finding.severity, finding.path) == (severity, path))


@pytest.mark.parametrize(("old", "new", "breaks", "path", "reason"), PAYLOADS)
def test_a_request_may_take_more_than_before_and_not_less(
    old: Any, new: Any, breaks: bool, path: str, reason: str
) -> None:
    """Callers keep to the old payload: what it allowed must still be taken."""
    found = compare(role(old), role(new))
    one = only(found, Severity.BREAKS if breaks else Severity.COMPATIBLE, path)
    assert (one.address, one.type, one.concerns) == ("role storage", "add", Concerns.CALLERS)
    assert one.reason.startswith("request add: ")
    assert reason in one.reason
    assert compatible(role(old), role(new)) is not breaks


@pytest.mark.parametrize(("old", "new", "breaks", "path", "reason"), REPLIES)
@pytest.mark.parametrize("concerns", [Concerns.READERS, Concerns.SUBSCRIBERS])
def test_a_reply_or_event_may_hold_more_fields_but_say_nothing_new(
    old: Any, new: Any, breaks: bool, path: str, reason: str, concerns: Concerns
) -> None:
    """Readers keep to the old type: all that may come now must be what it allowed."""
    reply = concerns is Concerns.READERS
    pair = (role(reply=old), role(reply=new)) if reply else (topic(add=old), topic(add=new))
    one = only(compare(*pair), Severity.BREAKS if breaks else Severity.COMPATIBLE, path)
    assert one.concerns is concerns
    assert one.reason.startswith("reply of add: " if reply else "event add: ")
    assert reason.format(concerns.value) in one.reason
    assert compatible(*pair) is not breaks


def test_requests_and_events_may_be_added_and_not_removed() -> None:
    """The coarsest change of all."""
    more = role(Measurement, status=Exchange(schema_of(None), schema_of(int)))
    (added,) = compare(role(Measurement), more)
    assert (added.severity, added.type) == (Severity.COMPATIBLE, "status")
    assert ADDED in added.reason
    (removed,) = compare(more, role(Measurement))
    assert (removed.breaks, removed.concerns, removed.path) == (True, Concerns.CALLERS, "$")
    assert removed.reason == "request status: it was removed: callers get NoSuchType"
    (heard,) = compare(topic(voltage=Measurement, power=Measurement), topic(voltage=Measurement))
    assert heard.reason == "event power: it was removed: subscribers wait for it in vain"
    assert compatible(topic(voltage=Measurement), topic(voltage=Measurement, power=Measurement))


def test_what_is_the_same_but_for_words_has_no_finding() -> None:
    """A docstring is no change of a contract."""
    reworded = copy.deepcopy(role(Measurement, Three))
    for definition in reworded["$defs"].values():
        definition["description"] = "Other words."
        definition["title"] = "Other"
    assert compare(role(Measurement, Three), reworded) == []


def test_a_request_that_is_no_longer_idempotent_is_told() -> None:
    """It breaks nobody, but a lost connection now costs a request."""
    twice = request_document("role", "storage", "", {"add": Exchange({}, {}, idempotent=True)})
    (told,) = compare(twice, request_document("role", "storage", "", {"add": Exchange({}, {})}))
    assert (told.breaks, "no longer idempotent" in told.reason) == (False, True)


def test_breaking_findings_come_first_and_the_others_are_not_lost() -> None:
    """An author wants the worst first, and the rest of the picture."""

    @dataclass(frozen=True)
    class Both:
        """A required and an optional field more."""

        meter: str
        value: float
        unit: str
        limit: int = 1000
        note: str = ""

    found = compare(role(Measurement), role(Both))
    assert [(finding.breaks, finding.path) for finding in found] == [(True, "$.unit"), (False, "$.note")]


def user(name: str, **uses: tuple[str, ...]) -> Manifest:
    """A manifest that uses `role_storage=("add",)`."""
    return Manifest(name, "1.0.0", "a:A", uses={key.replace("_", " ", 1): value for key, value in uses.items()})


def test_who_breaks_is_told_by_module_with_the_reason() -> None:
    """An operator asks: whom would this update hurt?"""
    users = [
        user("writer", role_storage=("add",)),
        user("reader", role_storage=("status",)),
        user("lost", role_storage=("history",)),
        user("other", role_oltc=("add",), topic_storage=("add",)),
    ]
    status = Exchange(schema_of(None), schema_of(int))
    broken = broken_users(role(Measurement, status=status), role(WithUnit, status=status), users)
    assert [one.module for one in broken] == ["writer", "lost"]
    assert "'unit'" in broken[0].finding.reason
    assert "'history' is not among them" in broken[1].finding.reason
    removed = broken_users(role(Measurement, status=status), role(Measurement), users[:2])
    assert [(one.module, one.finding.type) for one in removed] == [("reader", "status")]
    assert broken_users(role(Measurement, status=status), role(WithNote, status=status), users[:2]) == []


def test_a_subscriber_breaks_by_the_topic_that_it_uses() -> None:
    """Topics are used as roles are."""
    old, new = topic(voltage=Measurement, power=Measurement), topic(voltage=WithoutValue, power=Measurement)
    users = [user("guard", topic_measurement=("voltage",)), user("meter", topic_measurement=("power",))]
    assert [one.module for one in broken_users(old, new, users)] == ["guard"]


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(st.data(), st.sampled_from([(o, n) for o, n, *_ in PAYLOADS + REPLIES]))
def test_by_the_documents_a_payload_of_the_old_version_is_taken_by_the_new_decoder(
    data: st.DataObject, types: tuple[Any, Any]
) -> None:
    """The same from end to end: documents say compatible, and the real decoder of the new version must agree."""
    old, new = types
    assume(compatible(role(old), role(new)))
    schema = {"$defs": {}, **schema_of(old)}
    value = data.draw(values_of(schema))
    assume(valid(closed(schema), value))
    assert valid(schema_of(new), value)
    try:
        codec(old).decode(msgspec.json.encode(value))
    except PayloadInvalid:
        return  # a known disagreement (see test_schemas.py): the old decoder had refused it too
    codec(new).decode(msgspec.json.encode(value))


def test_the_oracle_itself_finds_a_wrong_promise() -> None:
    """A test that can't fail is a defect: these schemas are not included, and the oracle has an example for it."""
    old, new = {"$defs": {}, **schema_of(Measurement)}, schema_of(WithUnit)
    value = {"meter": "m", "value": 1}
    assert (valid(closed(old), value), valid(new, value)) == (True, False)


def test_a_field_that_a_closed_schema_does_not_name_is_told_as_such() -> None:
    """Types leave objects open; a msgspec.Struct with forbid_unknown_fields, or a schema by hand, may not."""

    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        """A measurement that takes no other field."""

        meter: str
        value: float

    (found,) = (one for one in compare(role(Measurement), role(Closed)) if one.breaks)
    assert found.reason == "request add: the field 'limit' is no longer known: callers that send it are refused"
    (found,) = (one for one in compare(role(reply=Closed), role(reply=Measurement)) if one.breaks)
    assert "the field 'limit' was added, and the old schema refuses fields" in found.reason
