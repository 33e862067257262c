"""Which of the site's servers have no route to our own, and when each of them is worth dialling. Pure."""

from __future__ import annotations

from collections.abc import Iterable

SEEK_FOR_S = 600.0  # since a route came or went; one that is away for longer isn't sought with haste
REDIAL_S = 1.5  # a slow board's handshake, before its server is dialled once more; then twice as long each time
REDIAL_MOST_S = 96.0  # beacons come through and routes don't: each dial is written to flash


class Links:
    """To which hosts the own server has a route, and when one without was dialled last."""

    def __init__(self) -> None:
        self._hosts: frozenset[str] | None = None
        self._changed_s = 0.0
        self._dials: dict[str, tuple[float, float]] = {}  # of a host without a route: not before, and the pause then

    def look(self, hosts: frozenset[str] | None, now_s: float) -> None:
        """Takes in where there are routes now; None: not known."""
        if hosts != self._hosts:
            self._hosts, self._changed_s = hosts, now_s
            for host in hosts or ():
                self._dials.pop(host, None)

    def lacks(self, hosts: Iterable[str], now_s: float) -> bool:
        """Whether one of the hosts has no route, and it is worth while to seek it."""
        links = self._hosts
        return links is not None and now_s < self._changed_s + SEEK_FOR_S and any(host not in links for host in hosts)

    def is_due(self, host: str, now_s: float) -> bool:
        """Whether a host that has just been heard has no route, and is to be dialled: it is asked for once."""
        not_before_s, pause_s = self._dials.get(host, (now_s, REDIAL_S))
        if self._hosts is None or host in self._hosts or now_s < not_before_s:
            return False
        self._dials[host] = (now_s + pause_s, min(2 * pause_s, REDIAL_MOST_S))
        return True


def host_of(route: str) -> str:
    """The host of `host:port`."""
    return route.rpartition(":")[0].strip("[]")
