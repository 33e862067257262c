"""Site time: the one clock of a site, real, replayed or accelerated. Every delay and time stamp of a module is in it.

A clock that nobody leads is the wall clock, and goes with it when that is set: a board boots in 1970, and a time server
corrects it. Who sleeps for a while then sleeps on; who waits for a time waits for that. A leader (the data generator,
on a replayed day) sets time and speed; the registry carries the reference to the site's other nodes. Sleepers wake and
wait anew when the reference changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct

MAX_SPEED = 1e9
MAX_SITE_S = 1e12  # some 30,000 years before or after 1970
MAX_VERSION = 2**53  # JSON's whole numbers end there for many programs
MAX_NAME = 256  # characters of an instance's name, which every heartbeat carries on
LOOKS_WITHIN_S = 0.05
STEP_S = 0.25  # a clock that is off by more real seconds is set right; less is a message's way here


class Reference(Struct, frozen=True):
    """Site time `site_s` (Unix seconds) at the moment it was read, and how fast it runs from there.

    `leader` is the instance that set it; `version` grows with each setting, so that the newest wins.
    """

    site_s: float
    speed: float
    leader: str
    version: int


class SiteClock:
    """The clock of one node, shared by all of its instances. `on_lead` is called when an own instance sets it."""

    def __init__(self, on_lead: Callable[[], None] | None = None, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self._base_site_s = wall_s()
        self._base_real_s = time.monotonic()
        self._stepped_s = 0.0  # by how much the wall clock was set, all in all
        self._speed = 1.0
        self._leader = ""
        self._version = 0
        self._sleepers: set[asyncio.Future[None]] = set()
        self._on_lead = on_lead

    @property
    def speed(self) -> float:
        """Seconds of site time in a real second."""
        return self._speed

    @property
    def leader(self) -> str:
        """The instance that leads the site's time; empty where it is the wall clock."""
        return self._leader

    def now(self) -> float:
        """Site time in Unix seconds."""
        return self._base_site_s + (time.monotonic() - self._base_real_s) * self._speed

    async def sleep(self, site_s: float) -> None:
        """Sleeps `site_s` seconds of site time; a change of speed meanwhile is taken into account.

        That the wall clock is set meanwhile makes it neither shorter nor longer.
        """
        until_s = self.now() + site_s - self._stepped_s
        await self._sleep(lambda: until_s + self._stepped_s)

    async def sleep_until(self, site_s: float) -> None:
        """Sleeps until site time is `site_s`; where that is past, yields to the loop once."""
        await self._sleep(lambda: site_s)

    async def _sleep(self, until_s: Callable[[], float]) -> None:
        loop = asyncio.get_running_loop()
        if until_s() <= self.now():
            await asyncio.sleep(0)
        while (left_s := until_s() - self.now()) > 0:
            sleeper: asyncio.Future[None] = loop.create_future()
            timer = loop.call_later(left_s / self._speed, _wake, sleeper)
            self._sleepers.add(sleeper)
            try:
                await sleeper
            finally:
                timer.cancel()
                self._sleepers.discard(sleeper)

    def lead(self, site_s: float, speed: float, leader: str) -> None:
        """Sets site time and its speed (> 0, at most MAX_SPEED), as `leader`; the site's other nodes follow."""
        if not 0 < speed <= MAX_SPEED:
            raise ValueError(f"speed: expected a number above 0, at most {MAX_SPEED:g}, got {speed}")
        if not abs(site_s) <= MAX_SITE_S:
            raise ValueError(f"site time: expected Unix seconds, got {site_s}")
        self._leader, self._version = leader, self._version + 1
        self._set(site_s, speed)
        if self._on_lead is not None:
            self._on_lead()

    def reference(self) -> Reference | None:
        """What another node needs to follow; None where nobody leads."""
        if not self._leader:
            return None
        return Reference(self.now(), self._speed, self._leader, self._version)

    def follow(self, reference: Reference) -> None:
        """Takes over a reference that has just arrived, unless it is older or as good as what we have.

        Of two leaders that are at the same version the one with the later name wins, on every node. One that no leader
        can have said is ignored: it would be carried on, and lead every clock of the site into nonsense.
        """
        if not _sane(reference) or (reference.version, reference.leader) < (self._version, self._leader):
            return
        off_s = abs(reference.site_s - self.now()) / reference.speed
        same = reference.version == self._version and reference.leader == self._leader
        if same and off_s < STEP_S:
            return
        self._leader, self._version = reference.leader, reference.version
        self._set(reference.site_s, reference.speed)

    def look(self) -> None:
        """Goes with the wall clock where that was set, unless somebody leads; a node looks with each heartbeat."""
        if self._leader:
            return
        before_s = time.monotonic()
        wall_s = self._wall_s()
        off_s = wall_s - self.now()
        if time.monotonic() - before_s > LOOKS_WITHIN_S:
            return  # it was kept waiting between the two, and would take that for a step
        if abs(off_s) >= STEP_S:
            self._stepped_s += off_s
            self._set(wall_s, 1.0)

    def _set(self, site_s: float, speed: float) -> None:
        self._base_real_s, self._base_site_s, self._speed = time.monotonic(), site_s, speed
        for sleeper in self._sleepers:
            _wake(sleeper)


def _sane(reference: Reference) -> bool:
    return (
        0 < reference.speed <= MAX_SPEED
        and abs(reference.site_s) <= MAX_SITE_S
        and reference.version < MAX_VERSION
        and 0 < len(reference.leader) <= MAX_NAME
    )


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
