"""The modules that ended or hung a process which others live in: told to the AppManager, and kept out of it.

Kept as long as the guardian runs: whoever did it isn't let in again by itself, only when the AppManager says that it is
not the version that did it. A crash is forgiven once.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appmanager.guardian.child import Child

FORGIVEN_CRASHES = 1


class Offence:
    """What a module did. `host`: the child of the guardian in which it did it; empty for the node itself.

    `kind`: hung, crashed (by a signal), ended. `moves`: it isn't to be there again. See appmanager.offences.
    """

    __slots__ = ("directory", "held_s", "host", "kind", "limit_s", "module", "moves", "stack", "why")

    def __init__(self, host: str, ended: Child, moves: bool) -> None:
        silence = ended.silence
        self.host, self.module, self.kind, self.moves = host, silence.offender, silence.kind, moves
        self.directory, self.why, self.stack = silence.directory, silence.why, list(silence.stack)
        self.held_s, self.limit_s = silence.held_s, silence.passed_s

    def document(self) -> dict[str, object]:
        """For the settings of a node that starts."""
        return {name: getattr(self, name) for name in self.__slots__}

    def words(self) -> tuple[str, ...]:
        """For the pipe to an AppManager that runs: see appmanager.link."""
        numbers = f"{self.held_s:.3f} {self.limit_s:g} {int(self.moves)}"
        return (self.host, self.module, self.directory, self.kind, self.why, numbers, " < ".join(self.stack))


class Offenders:
    """Of the node, and of other processes with a NodeManager."""

    def __init__(self) -> None:
        self.moved: dict[str, str] = {}  # out of the node: module -> why
        self._outside: dict[tuple[str, str], Offence] = {}  # out of others
        self._untold: list[Offence] = []
        self._crashes: dict[tuple[str, str], int] = {}

    def note(self, ended: Child, host: str) -> Offence | None:
        """Notes what a module did to a process that has ended; None where no module did anything."""
        silence = ended.silence
        if not silence.offender:
            return None
        key, moves = (host, silence.offender), True
        if silence.kind == "crashed":
            self._crashes[key] = self._crashes.get(key, 0) + 1
            moves = self._crashes[key] > FORGIVEN_CRASHES
        offence = Offence(host, ended, moves)
        if moves and host:
            self._outside[key] = offence
        elif moves:
            self.moved[silence.offender] = silence.why
        return offence

    def forgive(self, module: str) -> None:
        """What it did is of no account any more: another version of it did that, or another one is to run."""
        self.moved.pop(module, None)
        for of in (self._outside, self._crashes):
            for key in [key for key in of if key[1] == module]:
                del of[key]

    def tell_later(self, offence: Offence) -> None:
        """Nobody is there to be told now."""
        self._untold.append(offence)

    def untold(self) -> list[dict[str, object]]:
        """What hasn't been told yet; it counts as told now."""
        untold, self._untold = self._untold, []
        return [offence.document() for offence in untold]

    def outside(self) -> list[dict[str, object]]:
        """Who isn't to be in another process than the node's again."""
        return [offence.document() for offence in self._outside.values()]
