"""Asks a nats-server for a sign of life: it greets every client that connects with a line that begins with INFO.

A server that hangs still accepts (the kernel does that for it), so the line is what counts. Never blocks.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket  # without its wrapper: 0.5 MiB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 3.0
WITHIN_S = 3.0


class Probe:
    """Asks the server at `url` (of now) every EVERY_S seconds. `turn` must be called several times a second."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._next_s = 0.0
        self._socket: socket | None = None
        self._unheard_turns = 0

    def reset(self, now_s: float) -> None:
        """Forgets the question under way: the server is another, or just starts."""
        self.close()
        self._next_s = now_s + EVERY_S

    def close(self) -> None:
        """Closes the connection, where there is one. May be called twice."""
        found, self._socket = self._socket, None
        if found is not None:
            found.close()

    def turn(self, now_s: float, turn_s: float) -> bool:
        """Goes on with the question; True when the server has left it unanswered for WITHIN_S.

        `turn_s`: how often it is called. Turns are counted, and not time: where this process was held up itself (a
        suspended machine, a board that swaps), so was the server.
        """
        if self._socket is None:
            if now_s >= self._next_s:
                self._ask(now_s)
            return False
        if self._heard():
            self.close()
            return False
        self._unheard_turns += 1
        return self._unheard_turns * turn_s > WITHIN_S

    def _ask(self, now_s: float) -> None:
        self._next_s, self._unheard_turns = now_s + EVERY_S, 0
        host, _, port = self._url().rpartition("/")[2].rpartition(":")
        host = host.rpartition("@")[2].strip("[]")
        asked = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        asked.connect_ex((host, int(port)))  # a refusal is heard of as silence, and the server's end by its reaping
        self._socket = asked

    def _heard(self) -> bool:
        if self._socket is None:
            return True
        try:
            return self._socket.recv(4) == b"INFO"
        except OSError:  # nothing yet, or refused
            return False
