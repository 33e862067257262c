"""The store's vocabulary: a row to write, a sample read back. What `row` made can always be written."""

import math
from typing import NamedTuple

from storage.errors import StoreRefused
from storage.limits import MAX_TEXT


class Row(NamedTuple):
    """One measurement on its way into the store; the time stamp in Unix seconds of site time."""

    data_point: str
    timestamp_s: float
    value: float


class Sample(NamedTuple):
    """One measurement as it was read; the time stamp in Unix seconds of site time."""

    timestamp_s: float
    value: float


class Series(NamedTuple):
    """Measurements of one data point, in order of time."""

    unit: str
    samples: list[Sample]


def row(data_point: str, timestamp_s: float, value: float) -> Row:
    """A checked row. Raises StoreRefused when the value or the time stamp is not a finite number."""
    return Row(
        data_point,
        finite("timestamp_s", timestamp_s, data_point),
        finite("value", value, data_point),
    )


def finite(field: str, number: float, data_point: str) -> float:
    """`number` as a float; StoreRefused when it is NaN, infinite or too large."""
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise StoreRefused(f"{field} of {data_point!r}: expected a finite number, got {result}; send none then")
    return result


def text(field: str, value: str, least: int) -> str:
    """`value` when it has `least` to 128 printable characters, else StoreRefused."""
    if not least <= len(value) <= MAX_TEXT or not value.isprintable():
        raise StoreRefused(f"{field}: expected {least} to {MAX_TEXT} printable characters, got {value[:150]!r}")
    return value
