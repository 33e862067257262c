"""The substation's network: one transformer and the low-voltage lines behind it.

Immutable; once read it is complete and valid.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct


class NetworkError(ValueError):
    """A network description that can't be used. The text says where, what was expected and what came."""


class Transformer(Struct, frozen=True):
    """The transformer's name plate.

    Its tap changer is on the HV side; a higher position lowers the LV side.
    """

    sn_mva: float
    vn_hv_kv: float
    vn_lv_kv: float
    vk_percent: float
    vkr_percent: float
    pfe_kw: float
    i0_percent: float
    tap_step_percent: float
    tap_min: int
    tap_max: int
    tap_neutral: int

    def ratio(self, tap: int) -> float:
        """The turns ratio at a tap position, 1.0 at the neutral one."""
        return 1.0 + (tap - self.tap_neutral) * self.tap_step_percent / 100.0


class Line(Struct, frozen=True):
    """A line between two buses, by its parameters per km."""

    from_bus: int
    to_bus: int
    length_km: float
    r_ohm_per_km: float
    x_ohm_per_km: float
    c_nf_per_km: float


class Network(Struct, frozen=True):
    """A radial low-voltage network.

    `buses` and `meters` are ascending bus numbers; `lv_busbar` is fed by the transformer.
    """

    transformer: Transformer
    lv_busbar: int
    buses: tuple[int, ...]
    meters: tuple[int, ...]
    lines: tuple[Line, ...]


def load_network(text: str) -> Network:
    """Read a network from its JSON text (`data/network.json` shows the fields).

    Raises NetworkError naming the field when something is missing, of the wrong type or impossible.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise NetworkError(f"network: expected JSON, came a text that is not ({error}); correct the file") from error
    root = _Fields(document, "network")
    buses = tuple(sorted(_Fields(bus, f"network.buses[{i}]").whole("bus") for i, bus in enumerate(root.list("buses"))))
    lines = tuple(_line(_Fields(line, f"network.lines[{i}]")) for i, line in enumerate(root.list("lines")))
    meters = tuple(sorted(root.list("meters")))
    network = Network(
        _transformer(_Fields(root.get("trafo"), "network.trafo")),
        root.whole("lv_busbar"),
        buses,
        meters,
        lines,
    )
    _check(network)
    return network


def _transformer(fields: _Fields) -> Transformer:
    transformer = Transformer(
        sn_mva=fields.positive("sn_mva"),
        vn_hv_kv=fields.positive("vn_hv_kv"),
        vn_lv_kv=fields.positive("vn_lv_kv"),
        vk_percent=fields.positive("vk_percent"),
        vkr_percent=fields.number("vkr_percent"),
        pfe_kw=fields.number("pfe_kw"),
        i0_percent=fields.number("i0_percent"),
        tap_step_percent=fields.positive("tap_step_percent"),
        tap_min=fields.whole("tap_min"),
        tap_max=fields.whole("tap_max"),
        tap_neutral=fields.whole("tap_neutral"),
    )
    if transformer.vkr_percent > transformer.vk_percent:
        raise NetworkError("network.trafo: expected vkr_percent up to vk_percent, came more; correct the file")
    if not transformer.tap_min <= transformer.tap_neutral <= transformer.tap_max:
        raise NetworkError("network.trafo: expected tap_min <= tap_neutral <= tap_max; correct the file")
    return transformer


def _line(fields: _Fields) -> Line:
    return Line(
        from_bus=fields.whole("from"),
        to_bus=fields.whole("to"),
        length_km=fields.positive("length_km"),
        r_ohm_per_km=fields.number("r_ohm_per_km"),
        x_ohm_per_km=fields.number("x_ohm_per_km"),
        c_nf_per_km=fields.number("c_nf_per_km"),
    )


def _check(network: Network) -> None:
    known = set(network.buses)
    if len(known) != len(network.buses):
        raise NetworkError("network.buses: expected every bus once, came one twice; correct the file")
    named = [("lv_busbar", network.lv_busbar), *(("meters", meter) for meter in network.meters)]
    named += [("lines", end) for line in network.lines for end in (line.from_bus, line.to_bus)]
    for field, bus in named:
        if bus not in known:
            raise NetworkError(
                f"network.{field}: expected one of the buses, came {bus!r}; add the bus or correct the field"
            )


class _Fields:
    """Reads typed fields of one JSON object; each error names the field by its path."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise NetworkError(f"{path}: expected an object, came {value!r}; correct the file")
        self._value = value
        self._path = path

    def get(self, name: str) -> Any:
        if name not in self._value:
            raise NetworkError(f"{self._path}.{name}: expected a value, came none; add the field")
        return self._value[name]

    def list(self, name: str) -> list[Any]:
        value = self.get(name)
        if not isinstance(value, list) or not value:
            raise self._wrong(name, "a list that is not empty")
        return value

    def number(self, name: str) -> float:
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < float("inf"):
            raise self._wrong(name, "a number of 0 or more")
        return float(value)

    def positive(self, name: str) -> float:
        value = self.number(name)
        if value == 0.0:
            raise self._wrong(name, "a number above 0")
        return value

    def whole(self, name: str) -> int:
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise self._wrong(name, "a whole number")
        return int(value)

    def _wrong(self, name: str, expected: str) -> NetworkError:
        return NetworkError(f"{self._path}.{name}: expected {expected}, came {self._value[name]!r}; correct the file")
