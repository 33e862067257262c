"""A link that is slow and loses packets, between two namespaces: what `tc netem` does, where the kernel has no netem.

`python -m tests.integration.cluster.wan NETNS_A NETNS_B NAME DELAY_S LOSS`: makes the interface NAME (a tun) in both,
carries packets between them, each DELAY_S later, and a part LOSS of them never. SIGUSR1 cuts it, SIGUSR2 mends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import signal
import struct
import sys
import time
from ctypes import CDLL, get_errno

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


def tun(namespace: str, name: str) -> int:
    """A new tun interface in a namespace; the descriptor that its packets come from."""
    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if CDLL(None, use_errno=True).setns(place, CLONE_NEWNET):
        raise OSError(get_errno(), f"setns {namespace}")
    os.close(place)
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return made


class Link:
    """Packets under way, by when they are due."""

    def __init__(self, ends: tuple[int, int], delay_s: float, loss: float) -> None:
        self._ends, self._delay_s, self._loss = ends, delay_s, loss
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self._chance = random.Random(1)
        self.cut = False

    def run(self) -> None:
        """Carries packets until the process is ended."""
        poll = select.poll()
        for end in self._ends:
            poll.register(end, select.POLLIN)
        while True:
            wait_s = self._under_way[0][0] - time.monotonic() if self._under_way else 1.0
            for end, _ in poll.poll(max(wait_s, 0) * 1000):
                self._take(end)
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(self._under_way)
                self._give(end, packet)

    def _take(self, end: int) -> None:
        packet = os.read(end, 65536)
        if self.cut or self._chance.random() < self._loss:
            return
        other = self._ends[1] if end == self._ends[0] else self._ends[0]
        heapq.heappush(self._under_way, (time.monotonic() + self._delay_s, next(self._order), other, packet))

    def _give(self, end: int, packet: bytes) -> None:
        if not self.cut:
            with contextlib.suppress(OSError):  # an interface that isn't up yet loses it, as a cable would
                os.write(end, packet)


def main() -> None:
    """See above."""
    one, other, name, delay_s, loss = sys.argv[1:]
    link = Link((tun(one, name), tun(other, name)), float(delay_s), float(loss))

    def cut(number: int, _: object) -> None:
        link.cut = number == signal.SIGUSR1

    signal.signal(signal.SIGUSR1, cut)
    signal.signal(signal.SIGUSR2, cut)
    print("ready", flush=True)
    link.run()


if __name__ == "__main__":
    main()
