"""The modules for which a node was replaced: the next one runs them in mode fork, and tells what happened."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from appmanager.guardian.child import Child

Hung = tuple[str, float, float, list[str]]
"""Module, seconds that it held the loop, its limit, stack."""


class Offenders:
    """Kept as long as the guardian runs: whoever hung once isn't let into the node again by itself."""

    def __init__(self) -> None:
        self.moved: dict[str, str] = {}  # module -> why
        self._hung: list[Hung] = []

    def note(self, ended: Child) -> bool:
        """Notes for whom a node was replaced; False where it was for nobody, or for one that is noted already."""
        silence = ended.silence
        if not silence.offender:
            return False
        if silence.has_hung:
            self._hung.append((silence.offender, silence.held_s, silence.passed_s, list(silence.stack)))
        is_new = silence.offender not in self.moved
        self.moved[silence.offender] = silence.why
        return is_new

    def hung(self) -> list[Hung]:
        """Those that haven't been told yet; they count as told now."""
        hung, self._hung = self._hung, []
        return hung
