"""A check: one question that a bundle has to pass, and how all of them are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from appmanager.packed.candidate import Candidate
from appmanager.packed.errors import BundleRefused
from appmanager.packed.target import Host, Site


class Check(Protocol):
    """One question. It reads files at most, runs nothing of the bundle, and changes nothing."""

    @property
    def name(self) -> str:
        """A word for it, which a refusal carries."""

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """Why the bundle doesn't pass; nothing where it does. Each says what to do. Raises OSError."""


def refuse(checks: Iterable[Check], candidate: Candidate, host: Host, site: Site) -> list[tuple[str, str]]:
    """Every reason against a bundle, with the name of its check."""
    return [(check.name, why) for check in checks for why in check.reasons(candidate, host, site)]


def verify(checks: Iterable[Check], candidate: Candidate, host: Host, site: Site) -> None:
    """Raises BundleRefused with the reasons of the first check that a bundle doesn't pass."""
    for check in checks:
        reasons = tuple(check.reasons(candidate, host, site))
        if reasons:
            manifest = candidate.manifest
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            raise BundleRefused(
                f"{manifest.name} {manifest.version}: {reasons[0]}{more}", check=check.name, reasons=reasons
            )
