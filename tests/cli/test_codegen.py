"""Types written from schemas say the same as the schemas: the round trip is the specification."""

from __future__ import annotations

import datetime
import enum
import inspect
import keyword
import subprocess
import sys
import types
import uuid
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from gridlink.cli.codegen import Wanted, generate
from gridlink.contract import schema_of

BIN = Path(sys.executable).parent


class Colour(enum.Enum):
    """Strings."""

    RED = "red"
    DARK_BLUE = "darkBlue"


class Level(enum.IntEnum):
    """Numbers, one negative."""

    LOW = -1
    HIGH = 2


class Pair(NamedTuple):
    """An array of fixed length."""

    first: int
    second: str = "x"


class Loose(TypedDict):
    """Keys that may be missing."""

    meter: str
    note: NotRequired[Annotated[str, Meta(max_length=9)]]
    tags: NotRequired[list[str]]


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a dataclass can't say."""

    class_: int = msgspec.field(name="class", default=3)
    sets: dict[str, int] = {}
    many: list[int] = msgspec.field(name="list", default_factory=list)
    none: int = msgspec.field(name="weird-name", default=0)


@dataclass(frozen=True)
class Inner:
    """A nested one, with "quotes" and a \\ backslash.

    And a second paragraph.
    """

    position: Annotated[int, Meta(ge=-100, le=100, description="the tap position wanted")]
    colour: Colour = Colour.RED


@dataclass
class Tree:
    """It holds itself."""

    children: list[Tree]
    parent: Tree | None = None


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Each form once."""

    colour: Colour
    level: Level
    maybe: int | None
    word: Literal["a", "b", None]
    inners: list[Inner]
    by_name: dict[Annotated[str, Meta(pattern="^a\\d")], Inner]
    fixed: tuple[int, str]
    unique: set[int]
    loose: Loose
    pair: Pair
    several: int | str | None
    when: Annotated[datetime.datetime, Meta(tz=True)]
    day: datetime.date
    identity: uuid.UUID
    money: Decimal
    raw: Annotated[bytes, Meta(max_length=9)]
    anything: Any
    text: Annotated[str, Meta(title="t", description='it\'s "so"', examples=["q"], min_length=1, pattern="^.$")]
    described: Annotated[Inner, Meta(description="d", extra_json_schema={"deprecated": True})]
    closed: Closed
    unset: int | UnsetType = UNSET
    bounded: Annotated[int, Meta(ge=1)] | None = None
    fraction: Annotated[float, Meta(gt=0, lt=2, multiple_of=0.5)] = 1.0
    numbers: list[int] = field(default_factory=list)
    chosen: Colour = Colour.DARK_BLUE
    level_now: Level = Level.LOW
    inner: Inner = Inner(3)
    points: tuple[tuple[int, str], ...] = ((1, "a"), (2, "b"))
    wait: datetime.timedelta = datetime.timedelta(seconds=90)
    at: datetime.date = datetime.date(2026, 1, 2)
    blob: bytes = b"a\xff'"
    cost: Decimal = Decimal("1.50")
    flag: bool = True
    filled: Annotated[list[bool], Meta(min_length=1)] = field(default_factory=lambda: [True])
    nothing: None = None


TABLE: list[Any] = [
    Everything, Tree, Inner, Closed, Loose, Pair, Colour, list[Inner], Inner | None, dict[str, list[Inner]], int, str,
    Any, None, list[int] | Inner, Annotated[list[int], Meta(max_length=3)], Literal[1, 2],
]  # fmt: skip


def published(type_: Any) -> dict[str, Any]:
    """The type's schema as it comes over the bus."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema_of(type_)))
    return found


def semantic(schema: Any) -> Any:
    """A schema without the order of what is a set."""
    if isinstance(schema, dict):
        found = {key: semantic(value) for key, value in schema.items()}
        for key in ("required", "enum", "anyOf"):
            if isinstance(found.get(key), list):
                found[key] = sorted(found[key], key=repr)
        if isinstance(found.get("description"), str):
            found["description"] = inspect.cleandoc(found["description"])
        return found
    return [semantic(one) for one in schema] if isinstance(schema, list) else schema


def loaded(text: str) -> types.ModuleType:
    """The module whose source is `text`."""
    module = types.ModuleType("generated_api")
    sys.modules[module.__name__] = module
    exec(compile(text, "api.py", "exec"), module.__dict__)
    return module


def round_trip(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the type that was written from `schema`."""
    written = generate("Test.", [Wanted("ProbePayload", schema)])
    module = loaded(written.text)
    return published(eval(written.types[0], module.__dict__))


@pytest.mark.parametrize("type_", TABLE, ids=str)
def test_the_schema_of_the_written_type_is_the_schema_it_was_written_from(type_: Any) -> None:
    """Else a payload that is right here would be refused there."""
    schema = published(type_)
    assert semantic(round_trip(schema)) == semantic(schema)


NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
SCALARS = st.sampled_from(
    [int, str, float, bool, Any, Annotated[int, Meta(ge=0)], Annotated[str, Meta(pattern=r"^\w+$")], Literal["x", "y"]]
)
TYPES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),  # type: ignore[valid-type]
        inner.map(lambda t: dict[str, t]),  # type: ignore[valid-type]
        inner.filter(lambda t: t is not Any).map(lambda t: t | None),
        st.dictionaries(NAMES, inner, min_size=1, max_size=4).map(
            lambda fields: make_dataclass(f"C{abs(hash(tuple(fields)))}", list(fields.items()), frozen=True)
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(TYPES)
def test_any_type_survives_the_round_trip(type_: Any) -> None:
    """The table above holds what we thought of; this holds what we didn't."""
    schema = published(type_)
    assert semantic(round_trip(schema)) == semantic(schema)


def test_what_is_written_is_formatted_clean_and_strictly_typed(tmp_path: Path) -> None:
    """It goes into somebody's bundle, under their checks."""
    wanted = [Wanted(f"T{at}Payload", published(type_), f"t{at}") for at, type_ in enumerate(TABLE)]
    file = tmp_path / "api.py"
    file.write_text(generate("Role probe.", wanted).text)
    ruff = [str(BIN / "ruff")]
    options = ["--line-length", "120", "--isolated", "--no-cache"]
    for command in (
        [*ruff, "format", "--diff", *options, str(file)],
        [*ruff, "check", "--select", "E,F,W,I,UP,B,RUF", *options, str(file)],
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "/dev/null", "--config-file", "", str(file)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{file.read_text()}"


def test_the_same_class_of_two_types_is_written_once_and_namesakes_apart() -> None:
    """A role's requests share classes; two modules may use one name for different things."""

    def probe(name: str) -> Any:
        return make_dataclass("Same", [(name, int)], frozen=True)

    first, other = published(probe("x")), published(probe("y"))
    written = generate("T.", [Wanted("A", first), Wanted("B", first), Wanted("C", other), Wanted("D", None)])
    assert written.types == ("Same", "Same", "Same2", "None")
    assert written.text.count("class Same") == 2
