"""AC power flow of a radial network by backward/forward sweep. Pure; it converges or raises.

The model is pandapower's: transformer as a T (`trafo_model="t"`), lines as pi, loads of constant power, the
MV busbar as slack. Complex per unit on 1 MVA and the LV side's nominal voltage. A T circuit of constant
impedances behind the slack is a voltage source with one impedance (Thevenin), so the tree starts at the LV
busbar.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt

from msgspec import Struct

from data_generator.network import Line, Network, Transformer
from data_generator.topology import radial_order

SYSTEM_FREQUENCY_HZ = 50.0
TOLERANCE_PU = 1e-9
MAX_ITERATIONS = 100


class PowerFlowDiverged(ArithmeticError):
    """No solution was reached: the load is beyond what the network can carry, or it is no real state."""


class _TransformerModel(Struct, frozen=True):
    """The T: source voltage / ratio, half the impedance, the magnetising branch, the other half."""

    half_pu: complex
    magnetising_pu: complex
    source_factor: complex
    thevenin_pu: complex
    full_load_pu: float


class Feeder(Struct, frozen=True):
    """A network prepared for sweeps: made once by `prepare`, used for any number of solutions.

    All tuples are in sweep order: LV busbar first, every bus after the one that feeds it. `outwards` holds
    (bus, parent, impedance), `inwards` the same pairs from the far ends back.
    """

    network: Network
    buses: tuple[int, ...]
    outwards: tuple[tuple[int, int, complex], ...]
    inwards: tuple[tuple[int, int], ...]
    shunts_pu: tuple[complex, ...]
    transformer: _TransformerModel


class Solution(Struct, frozen=True):
    """One converged power flow. Tuples are in the feeder's order of buses (`Feeder.buses`)."""

    voltages: tuple[complex, ...]
    voltages_pu: tuple[float, ...]
    transformer_loading_percent: float
    iterations: int


def prepare(network: Network) -> Feeder:
    """Precompute what all solutions of one network share. Raises NetworkError when it is not radial."""
    order = radial_order(network)
    z_base_ohm = network.transformer.vn_lv_kv**2  # of 1 MVA
    index = {bus: i for i, bus in enumerate(order.buses)}
    shunts = [0j] * len(order.buses)
    for line in network.lines:
        for end in (line.from_bus, line.to_bus):
            shunts[index[end]] += _half_charging_pu(line, z_base_ohm)
    fed = [(i, order.parents[i], line) for i, line in enumerate(order.lines) if line is not None]
    return Feeder(
        network=network,
        buses=order.buses,
        outwards=tuple((i, parent, _impedance_pu(line, z_base_ohm)) for i, parent, line in fed),
        inwards=tuple((i, parent) for i, parent, _ in reversed(fed)),
        shunts_pu=tuple(shunts),
        transformer=_transformer_model(network.transformer),
    )


def solve(
    feeder: Feeder,
    loads_kva: Sequence[complex],
    mv_voltage_pu: float,
    tap: int,
    start: Sequence[complex] | None = None,
) -> Solution:
    """Solve one state of the network.

    `loads_kva`: consumption P + jQ in kW and kvar, a bus, in the feeder's order. `start`: the `voltages` of
    an earlier solution to start from (a few iterations fewer); none starts from the no-load voltage. Raises
    PowerFlowDiverged when no voltage meets the loads.
    """
    if len(loads_kva) != len(feeder.buses):
        raise ValueError(f"expected {len(feeder.buses)} loads, came {len(loads_kva)}; order them by Feeder.buses")
    model = feeder.transformer
    source = mv_voltage_pu / feeder.network.transformer.ratio(tap)
    no_load = source * model.source_factor
    loads = [load.conjugate() / 1000.0 for load in loads_kva]
    voltages = [no_load] * len(loads) if start is None else list(start)
    try:
        busbar_current, iterations = _sweep(feeder, loads, no_load, voltages)
    except (ZeroDivisionError, OverflowError) as error:
        raise _diverged(mv_voltage_pu, tap) from error
    if iterations > MAX_ITERATIONS:
        raise _diverged(mv_voltage_pu, tap)
    loading = _loading_percent(model, busbar_current, voltages[0], feeder.network.transformer.ratio(tap))
    return Solution(tuple(voltages), tuple(map(abs, voltages)), loading, iterations)


def _sweep(feeder: Feeder, loads: list[complex], no_load: complex, voltages: list[complex]) -> tuple[complex, int]:
    """Sweep until no voltage moves by more than the tolerance; `voltages` is updated in place.

    Returns the transformer's LV current and the iterations used (above MAX_ITERATIONS: not converged).
    """
    outwards, inwards, shunts = feeder.outwards, feeder.inwards, feeder.shunts_pu
    thevenin = feeder.transformer.thevenin_pu
    for iteration in range(1, MAX_ITERATIONS + 1):
        currents = [
            load / voltage.conjugate() + shunt * voltage
            for load, voltage, shunt in zip(loads, voltages, shunts, strict=True)
        ]
        for bus, parent in inwards:
            currents[parent] += currents[bus]
        previous = voltages[:]
        voltages[0] = no_load - thevenin * currents[0]
        for bus, parent, impedance in outwards:
            voltages[bus] = voltages[parent] - impedance * currents[bus]
        moved = max([abs(new - old) for new, old in zip(voltages, previous, strict=True)])
        if moved < TOLERANCE_PU:
            return currents[0], iteration
    return 0j, MAX_ITERATIONS + 1


def _loading_percent(model: _TransformerModel, lv_current: complex, lv: complex, ratio: float) -> float:
    """The larger of both sides' currents over the rated one, as pandapower's `trafo_loading="current"`."""
    middle = lv + model.half_pu * lv_current
    hv_current = (lv_current + model.magnetising_pu * middle) / ratio
    return 100.0 * max(abs(lv_current), abs(hv_current)) / model.full_load_pu


def _transformer_model(transformer: Transformer) -> _TransformerModel:
    r_pu = transformer.vkr_percent / 100.0 / transformer.sn_mva
    z_pu = transformer.vk_percent / 100.0 / transformer.sn_mva
    impedance = complex(r_pu, sqrt(z_pu**2 - r_pu**2))
    iron_mw = transformer.pfe_kw / 1000.0
    no_load_mva = transformer.i0_percent / 100.0 * transformer.sn_mva
    magnetising = complex(iron_mw, -sqrt(max(no_load_mva**2 - iron_mw**2, 0.0)))
    half = impedance / 2.0
    factor = 1.0 / (1.0 + half * magnetising)
    return _TransformerModel(half, magnetising, factor, half + half * factor, transformer.sn_mva)


def _impedance_pu(line: Line, z_base_ohm: float) -> complex:
    return complex(line.r_ohm_per_km, line.x_ohm_per_km) * line.length_km / z_base_ohm


def _half_charging_pu(line: Line, z_base_ohm: float) -> complex:
    farad = line.c_nf_per_km * 1e-9 * line.length_km
    return complex(0.0, 2.0 * pi * SYSTEM_FREQUENCY_HZ * farad * z_base_ohm / 2.0)


def _diverged(mv_voltage_pu: float, tap: int) -> PowerFlowDiverged:
    return PowerFlowDiverged(
        f"expected a power flow that converges within {MAX_ITERATIONS} iterations, came none "
        f"(MV busbar {mv_voltage_pu} pu, tap {tap}); lower the loads or correct them"
    )
