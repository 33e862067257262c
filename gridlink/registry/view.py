"""The registry's pure core: what is known of each node, and what each message changes in it. Time is passed in.

An announcement that is older than what is known changes nothing, nor does an update that isn't the next one, so
reordered ones do no harm; a lost one shows by the version in the next heartbeat.
"""

from __future__ import annotations

from msgspec import Struct, field

from gridlink.registry.entry import Announcement, Entry, Heartbeat, Leave, Update

SUSPECT_S = 2.5
GONE_S = 4.0
AGE_STEP_S = 0.05


class Known(Struct):
    """A node as it is known: its last announcement and when it was last heard of (monotonic seconds)."""

    boot: str
    version: int
    heard_s: float
    entries: dict[str, Entry] = field(default_factory=dict)
    machine: str = ""
    suspect: bool = False


class Change(Struct, frozen=True):
    """What became of an instance: its entry before and after; None where it wasn't, or isn't any more."""

    instance: str
    before: Entry | None
    after: Entry | None


class View:
    """Every instance of a site, by node."""

    def __init__(self) -> None:
        self.nodes: dict[str, Known] = {}

    def entries(self) -> list[Entry]:
        """All entries, by instance name. What a manager says of an instance yields to what its own node says."""
        found: dict[str, Entry] = {}
        for name, known in self.nodes.items():
            for entry in known.entries.values():
                if entry.node == name or entry.instance not in found:
                    found[entry.instance] = entry
        return sorted(found.values(), key=lambda entry: entry.instance)

    def announced(self, news: Announcement, now_s: float) -> list[Change]:
        """Takes an announcement in, unless a newer one of the same boot is known."""
        known = self.nodes.get(news.node)
        if known is not None and known.boot == news.boot:
            known.heard_s, known.suspect = now_s, False
            if news.version <= known.version:
                return []
        before = known.entries if known is not None else {}
        after = {entry.instance: entry for entry in news.entries}
        self.nodes[news.node] = Known(news.boot, news.version, now_s, after, news.machine)
        return _changes(before, after)

    def updated(self, update: Update, now_s: float) -> list[Change]:
        """Takes a node's update in, if it is the one after what is known of it; a heartbeat tells where it isn't."""
        known = self.nodes.get(update.node)
        if known is None or known.boot != update.boot:
            return []
        known.heard_s, known.suspect = now_s, False
        if update.version != known.version + 1:
            return []
        known.version = update.version
        after = {entry.instance: entry for entry in update.entries}
        before = {name: known.entries[name] for name in (*after, *update.gone) if name in known.entries}
        known.entries.update(after)
        for name in update.gone:
            known.entries.pop(name, None)
        return _changes(before, after)

    def heard(self, beat: Heartbeat, now_s: float) -> bool:
        """Takes a heartbeat in; returns whether an announcement must be asked for."""
        known = self.nodes.get(beat.node)
        if known is None or known.boot != beat.boot:
            return True
        known.heard_s, known.suspect = now_s, False
        return known.version < beat.version

    def left(self, leave: Leave) -> list[Change]:
        """Forgets a node that left cleanly, unless it is already back with another boot."""
        known = self.nodes.get(leave.node)
        if known is None or known.boot != leave.boot:
            return []
        return self._forget(leave.node)

    def ages_in_s(self, now_s: float, own: str, most_s: float) -> float:
        """When a node will be gone unless it is heard: in so many seconds, or `most_s`, never less than 0.05."""
        soonest_s = min((known.heard_s for name, known in self.nodes.items() if name != own), default=now_s) + GONE_S
        return min(max(soonest_s - now_s, AGE_STEP_S), most_s)

    def aged(self, now_s: float, own: str) -> list[Change]:
        """Marks nodes that fell silent as suspect and forgets those that are gone; never the `own` node."""
        changes: list[Change] = []
        for name, known in list(self.nodes.items()):
            silent_s = now_s - known.heard_s
            if name == own:
                continue
            known.suspect = silent_s > SUSPECT_S
            if silent_s > GONE_S:
                changes += self._forget(name)
        return changes

    def _forget(self, name: str) -> list[Change]:
        return _changes(self.nodes.pop(name).entries, {})


def _changes(before: dict[str, Entry], after: dict[str, Entry]) -> list[Change]:
    names = sorted(before.keys() | after.keys())
    return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]
