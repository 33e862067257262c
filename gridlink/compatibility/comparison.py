"""Two versions of the document of a role or topic: what was changed, what breaks whom, and why. Pure.

A request's payload may take more than before (callers keep to the old one), a reply or event may hold more fields but
say nothing that the old one didn't allow (readers keep to the old one).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gridlink.compatibility.finding import BrokenUser, Concerns, Finding, Severity
from gridlink.compatibility.inclusion import misfits
from gridlink.compatibility.misfit import text
from gridlink.compatibility.sameness import REFERENCE, same
from gridlink.compatibility.wording import broken
from gridlink.document import Document, payload_of
from gridlink.manifest import Manifest

MOST = 5000  # values that are looked into for what was added: two fields a type are 2**n in n types


def compare(old: Document, new: Document) -> list[Finding]:
    """Every change from one version of a contract to the next, the breaking ones first; empty: nothing changed.

    Both are documents of gridlink.document, of the same role, instance or topic.
    """
    found = list(_requests(old, new) if "requests" in old or "requests" in new else _events(old, new))
    return sorted(found, key=lambda finding: not finding.breaks)


def compatible(old: Document, new: Document) -> bool:
    """Whether nobody who keeps to the old version is broken by the new one."""
    return not any(finding.breaks for finding in compare(old, new))


def broken_users(old: Document, new: Document, users: Iterable[Manifest]) -> list[BrokenUser]:
    """Which modules break, by the `uses` of their manifests, when `new` takes the place of `old`; and why.

    Of a topic with several publishers both documents are the topic's whole.
    """
    address = _address(new)
    by_type: dict[str, list[Finding]] = {}
    for finding in compare(old, new):
        if finding.breaks:
            by_type.setdefault(finding.type, []).append(finding)
    served = _types(new)
    found = []
    for user in users:
        for type_ in user.uses.get(address, ()):
            reasons = by_type.get(type_, [])
            if type_ not in served and not reasons:
                reasons = [_absent(new, type_, served)]
            found += [BrokenUser(user.name, finding) for finding in reasons]
    return found


def _absent(new: Document, type_: str, served: Sequence[str]) -> Finding:
    topic = "events" in new
    reason = f"it has {', '.join(served) or 'nothing'}, and {type_!r} is not among them: correct `uses`"
    concerns = Concerns.SUBSCRIBERS if topic else Concerns.CALLERS
    what = "event" if topic else "request"
    return Finding(Severity.BREAKS, concerns, _address(new), type_, "$", f"{what} {type_}: {reason}")


def _address(document: Document) -> str:
    return str(document.get("title", ""))


def _types(document: Document) -> list[str]:
    return [*document.get("requests", {}), *document.get("events", {})]


def _requests(old: Document, new: Document) -> Iterator[Finding]:
    before, after = old.get("requests", {}), new.get("requests", {})
    for type_ in sorted(before.keys() | after.keys()):
        about = _About(_address(new), "request", type_)
        if type_ not in after:
            yield about.breaks(Concerns.CALLERS, "$", "it was removed: callers get NoSuchType")
        elif type_ not in before:
            yield about.allows(Concerns.CALLERS, "$", "it was added: nobody sends it yet")
        else:
            old_payload, new_payload = payload_of(old, type_), payload_of(new, type_)
            yield from about.changes(Concerns.CALLERS, old_payload, new_payload)
            yield from about.changes(Concerns.READERS, payload_of(old, type_, "reply"), payload_of(new, type_, "reply"))
            if before[type_].get("idempotent") and not after[type_].get("idempotent"):
                yield about.allows(Concerns.CALLERS, "$", "it is no longer idempotent: nobody tries it a second time")


def _events(old: Document, new: Document) -> Iterator[Finding]:
    before, after = old.get("events", {}), new.get("events", {})
    for type_ in sorted(before.keys() | after.keys()):
        about = _About(_address(new), "event", type_)
        if type_ not in after:
            yield about.breaks(Concerns.SUBSCRIBERS, "$", "it was removed: subscribers wait for it in vain")
        elif type_ not in before:
            yield about.allows(Concerns.SUBSCRIBERS, "$", "it was added: nobody listens to it yet")
        else:
            yield from about.changes(Concerns.SUBSCRIBERS, payload_of(old, type_), payload_of(new, type_))


class _About:
    """Makes the findings of one request or event."""

    def __init__(self, address: str, what: str, type_: str) -> None:
        self._address, self._what, self._type = address, what, type_

    def breaks(self, concerns: Concerns, path: str, reason: str) -> Finding:
        """A finding that breaks somebody."""
        return self._finding(Severity.BREAKS, concerns, path, reason)

    def allows(self, concerns: Concerns, path: str, reason: str) -> Finding:
        """A change that breaks nobody."""
        return self._finding(Severity.COMPATIBLE, concerns, path, reason)

    def _finding(self, severity: Severity, concerns: Concerns, path: str, reason: str) -> Finding:
        what = f"reply of {self._type}" if concerns is Concerns.READERS else f"{self._what} {self._type}"
        return Finding(severity, concerns, self._address, self._type, path, f"{what}: {reason}")

    def changes(self, concerns: Concerns, old: Any, new: Any) -> Iterator[Finding]:
        """The findings of one payload or reply."""
        if same(old, old["$defs"], new, new["$defs"]):
            yield from self._defaults(concerns, dict(_fields(old)), dict(_fields(new)))
            return
        sent, read = (old, new) if concerns is Concerns.CALLERS else (new, old)
        found = [misfit.under("$") for misfit in misfits(sent, read)]
        for misfit in found:
            yield self.breaks(concerns, misfit.path, broken(misfit, concerns))
        allowed = list(self._additions(concerns, old, new, {misfit.path for misfit in found}))
        if not found and not allowed:
            change = "takes more than before" if concerns is Concerns.CALLERS else "says no more than before"
            allowed = [self.allows(concerns, "$", f"it was changed, and {change}")]
        yield from allowed

    def _additions(self, concerns: Concerns, old: Any, new: Any, broken_at: set[str]) -> Iterator[Finding]:
        before, after = dict(_fields(old)), dict(_fields(new))
        sent = concerns is Concerns.CALLERS
        for path in after.keys() - before.keys() - broken_at:
            why = "callers may leave it out" if sent else "those who don't know it pass over it"
            yield self.allows(concerns, path, f"the field {_name(path)!r} was added: {why}")
        for path in before.keys() - after.keys() - broken_at:
            why = "it is passed over where callers still send it" if sent else "nobody could rely on it"
            yield self.allows(concerns, path, f"the field {_name(path)!r} was removed: {why}")
        yield from self._defaults(concerns, before, after)

    def _defaults(self, concerns: Concerns, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
        if concerns is not Concerns.CALLERS:
            return
        for path in before.keys() & after.keys():
            was, now = before[path].get("default"), after[path].get("default")
            if text(was) != text(now) and "default" in before[path] and "default" in after[path]:
                change = f"the default of {_name(path)!r} was changed from {text(was)} to {text(now)}"
                yield self.allows(concerns, path, f"{change}: callers that leave it out get the new one")


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _fields(schema: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The paths of named fields, with their schemas, the outer ones first; a recursive type is entered once."""
    definitions = schema.get("$defs", {})
    waiting: deque[tuple[str, Any, frozenset[str]]] = deque([("$", schema, frozenset())])
    for _ in range(MOST):
        if not waiting:
            return
        path, here, entered = waiting.popleft()
        if not isinstance(here, Mapping):
            continue
        name = str(here.get("$ref", "")).removeprefix(REFERENCE)
        if name in definitions and name not in entered:
            waiting.append((path, definitions[name], entered | {name}))
        for keyword in ("anyOf", "oneOf", "allOf"):
            waiting += [(path, branch, entered) for branch in here.get(keyword, ())]
        waiting += [(f"{path}[{place}]", item, entered) for place, item in enumerate(here.get("prefixItems", ()))]
        waiting += [(f"{path}[]", here.get("items"), entered), (f"{path}.*", here.get("additionalProperties"), entered)]
        for field, inner in here.get("properties", {}).items():
            if isinstance(inner, Mapping):
                yield f"{path}.{field}", inner
                waiting.append((f"{path}.{field}", inner, entered))
