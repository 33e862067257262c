"""Compares our power flow with a reference solved elsewhere (pandapower).

Pure; for the tests and `gridlink bench grid`.
"""

from __future__ import annotations

import csv

from msgspec import Struct

from data_generator.powerflow import Feeder, solve
from data_generator.profiles import Day


class Comparison(Struct, frozen=True):
    """How far apart two solutions of one day are, over every quarter hour, tap position and bus of the
    reference.
    """

    solutions: int
    largest_voltage_error_pu: float
    largest_loading_error_percent: float
    worst: str

    def within(self, voltage_pu: float) -> bool:
        """Whether there was something to compare, and no voltage was further off than this."""
        return self.solutions > 0 and self.largest_voltage_error_pu <= voltage_pu


def compare(feeder: Feeder, day: Day, reference_csv: str) -> Comparison:
    """Solve each row of a reference (minute, tap, v_BUS..., trafo_loading_percent); measure the difference.

    Raises KeyError when the reference lacks a bus of the feeder, PowerFlowDiverged when a state has no
    solution.
    """
    rows, voltage_error, loading_error, worst = 0, 0.0, 0.0, ""
    for row in csv.DictReader(reference_csv.splitlines()):
        quarter = day.quarters[int(row["minute"]) // 15]
        solution = solve(feeder, quarter.loads_kva, quarter.mv_voltage_pu, int(row["tap"]))
        rows += 1
        for bus, ours in zip(feeder.buses, solution.voltages_pu, strict=True):
            error = abs(ours - float(row[f"v_{bus}"]))
            if error >= voltage_error:
                voltage_error, worst = error, f"minute {row['minute']}, tap {row['tap']}, bus {bus}"
        loading = abs(solution.transformer_loading_percent - float(row["trafo_loading_percent"]))
        loading_error = max(loading_error, loading)
    return Comparison(rows, voltage_error, loading_error, worst)
