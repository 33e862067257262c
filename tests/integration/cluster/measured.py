"""What a load saw, and what the machines did: the questions that the tests ask of both."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.integration.cluster.load import Asked, read
from tests.integration.cluster.machines import Cluster, Machine

CLEAR = {"ok", "ConnectionLost", "RequestTimeout", "NoSuchRole", "Stopping", "Busy"}


class Load:
    """A load that runs on a machine, through the server of that machine or another."""

    def __init__(self, cluster: Cluster, machine: Machine, out: Path, rate: float, seconds: float, url: str) -> None:
        self._out, self._seconds = out, seconds
        own = cluster.trust / machine.name
        environment = {
            "NATS_NKEY": str(own / "node.nk"),
            "NATS_CA": str(own / "ca.pem"),
            "NATS_TLS_NAME": "a.gridlink.internal",
            "PATH": "/usr/bin",
        }
        command = ["-m", "tests.integration.cluster.load", url, str(rate), str(seconds), str(out)]
        root = Path(__file__).parents[3]
        self._log = out.with_suffix(".log")
        self._process = machine.host.popen(sys.executable, *command, output=self._log, env=environment, cwd=root)

    def began(self) -> None:
        """Returns when it sends."""
        deadline_s = time.monotonic() + 15
        while "ready" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"the load did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def result(self) -> list[Asked]:
        """What became of each request, in order of sending; waits until it is over."""
        if self._process.wait(timeout=self._seconds + 30):
            raise AssertionError(f"the load failed: {self._log.read_text()}")
        return sorted(read(self._out), key=lambda asked: asked.sent_s)


def outcomes(asked: Iterable[Asked]) -> Counter[str]:
    """How often each outcome came."""
    return Counter(one.outcome for one in asked)


def lost(asked: Iterable[Asked]) -> list[Asked]:
    """Those that failed, without what a machine that stands still for a moment refuses: Busy says `not begun`."""
    return [one for one in asked if one.outcome not in {"ok", "Busy"}]


def lost_until_s(asked: Iterable[Asked], since_s: float) -> float:
    """How long after `since_s` the last request was sent that was lost."""
    return max((one.sent_s - since_s for one in lost(asked)), default=0.0)


def check_once(asked: list[Asked], machines: Iterable[Machine]) -> None:
    """Every request ended clearly; none was done twice, or after it had failed by disconnection; each ok was done."""
    assert set(outcomes(asked)) <= CLEAR
    done: dict[str, list[float]] = {}
    for machine in machines:
        for number, when_s in machine.executed():
            done.setdefault(number, []).append(when_s)
    twice = [number for number, times in done.items() if len(times) > 1]
    assert not twice, f"done twice: {twice[:5]}"
    never = [one.number for one in asked if one.outcome == "ok" and one.number not in done]
    assert not never, f"answered and not done: {never[:5]}"
    late = [
        (one, done[one.number][0] - one.over_s)
        for one in asked
        if one.outcome == "ConnectionLost" and one.number in done and done[one.number][0] > one.over_s + 0.05
    ]
    assert not late, f"{len(late)} done after they had failed: {late[:5]}"
