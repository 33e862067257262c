"""`gridlink bench grid`: the power flow against its references, and the voltages with and without the closed loop.

The limits are EN 50160 (0.90 to 1.10 pu) and the operating band (0.95 to 1.05 pu). Quarter hours outside count the
time in which any bus is outside: exactly in the loop, whole quarter hours of the reference with a fixed tap.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gridlink.bench import references
from gridlink.bench.loop import DAY_S, Ran, run_loop
from gridlink.bench.references import DAYS, Day
from gridlink.node.shipped import shipped_bundles

EN50160 = (0.90, 1.10)
BAND = (0.95, 1.05)
SOLUTIONS_TIMED = 192
Say = Callable[[str], None]


async def grid(speed: float, directory: Path | None, say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs all of it; returns the report as plain JSON types, and what `--plot` draws. Raises BenchFailed."""
    texts = {day: references.read(day, directory) for day in DAYS}
    say("power flow: every quarter hour, tap position and bus of both days")
    solved = power_flow(texts)
    say(f"closed loop: both days in about {len(DAYS) * DAY_S / speed:.0f} s")
    ran = await run_loop(speed, DAYS)
    fixed = {day: references.extremes(text) for day, text in texts.items()}
    report = {"power_flow": solved, **outcome(fixed, ran), "speed": speed, "real_s": round(ran.real_s, 1)}
    return report, curves(fixed, ran)


def power_flow(texts: Mapping[str, str]) -> dict[str, Any]:
    """The largest voltage error against the references, and the median time of a solution from a cold start."""
    with _bundle("data_generator"):
        from data_generator.configuration import delivered_feeder, delivered_replay  # noqa: PLC0415 - on the path now
        from data_generator.powerflow import solve  # noqa: PLC0415
        from data_generator.reference import compare  # noqa: PLC0415

        feeder = delivered_feeder()
        days = delivered_replay(feeder, tuple(texts)).days
        compared = [compare(feeder, day, texts[day.name]) for day in days]
        quarters = [quarter for day in days for quarter in day.quarters]
        times_s = []
        for number in range(SOLUTIONS_TIMED):
            quarter = quarters[number % len(quarters)]
            started_s = time.perf_counter()
            solve(feeder, quarter.loads_kva, quarter.mv_voltage_pu, number % 9 - 4)
            times_s.append(time.perf_counter() - started_s)
    return {
        "max_error_pu": round(max(one.largest_voltage_error_pu for one in compared), 9),
        "solutions": sum(one.solutions for one in compared),
        "buses": len(feeder.buses),
        "solution_ms": round(statistics.median(times_s) * 1000.0, 4),
    }


def outcome(fixed: Mapping[str, Day], ran: Ran) -> dict[str, Any]:
    """The closed loop beside the best fixed tap positions, a day and for all days together."""
    days = []
    for counters in ran.days:
        tap, outside = references.best(references.outside_by_tap(fixed[counters["day"]], *BAND))
        days.append(
            {
                "day": counters["day"],
                "outside_en50160_quarter_hours": round(counters["outsideEn50160_quarterHours"], 3),
                "outside_band_quarter_hours": round(counters["outsideBand_quarterHours"], 3),
                "tap_steps": counters["tapSteps"],
                "best_fixed_tap": tap,
                "best_fixed_outside_band_quarter_hours": outside,
            }
        )
    tap, outside = references.best_for_all(fixed, *EN50160)
    return {
        "days": days,
        "fixed_tap_both_days": tap,
        "fixed_tap_both_days_outside_en50160_quarter_hours": outside,
    }


def curves(fixed: Mapping[str, Day], ran: Ran) -> dict[str, Any]:
    """What is drawn, a day: (hour, lowest, highest) with control, and with the tap changer at rest at 0."""
    return {
        "limits_pu": {"EN 50160": EN50160, "operating band": BAND},
        "days": [
            {
                "day": name,
                "control": [
                    (look.elapsed_s % DAY_S / 3600.0, look.lowest_pu, look.highest_pu)
                    for look in ran.looks
                    if look.elapsed_s // DAY_S == number
                ],
                "fixed": [(quarter / 4.0, one.lowest_pu, one.highest_pu) for quarter, one in enumerate(fixed[name][0])],
            }
            for number, name in enumerate(DAYS)
        ],
    }


@contextmanager
def _bundle(name: str) -> Iterator[None]:
    """Makes the package of a delivered bundle importable meanwhile."""
    directory = str(shipped_bundles() / name)
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)
