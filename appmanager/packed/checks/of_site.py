"""Checks against what runs at the site."""

from __future__ import annotations

from collections.abc import Iterator

from appmanager.packed.candidate import Candidate
from appmanager.packed.target import Host, Site
from appmanager.packed.versions import precedence
from gridlink.compatibility import broken_users


class NewerVersion:
    """Not older than what runs, unless an operator asked for that."""

    name = "version"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """That it is older."""
        running, new = site.running, candidate.manifest
        if running is None or site.older_allowed:
            return
        if precedence(new.version) < precedence(running.version):
            yield f"it is older than {running.version}, which runs: ask for it with --older, or use `gridlink rollback`"


class Uses:
    """Each role that it uses is served, or served by itself."""

    name = "uses"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """The roles that nobody serves."""
        own = {address.partition(" ")[2] for address in candidate.documents if address.startswith("role ")}
        for role in candidate.manifest.used_roles:
            if role not in site.served and role not in own:
                served = ", ".join(sorted(site.served)) or "none"
                yield f"it uses role {role}, which nobody serves (there are {served}): install what serves it first"


class Contracts:
    """Nobody who uses what it serves is broken by it; and it uses only what is served."""

    name = "contracts"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """Whom it would break, and by what."""
        others = [manifest for manifest in site.modules if manifest.name != candidate.manifest.name]
        for address, document in candidate.documents.items():
            old = site.contracts.get(address)
            if old is not None:
                for broken in broken_users(old, document, others):
                    yield f"{broken.module} would break: {broken.finding.address}: {broken.finding.reason}"
        for address in sorted(site.served_by_running - candidate.documents.keys()):
            for user in others:
                if address in user.uses:
                    yield f"{user.name} would break: {address} is no longer served, and it uses that"
        for address, types in candidate.manifest.uses.items():
            contract = site.contracts.get(address)
            served = {} if contract is None else contract.get("requests") or contract.get("events") or {}
            for type_ in types if contract is not None and address not in candidate.documents else ():
                if type_ not in served:
                    has = ", ".join(sorted(served)) or "nothing"
                    yield f"it uses {type_!r} of {address}, which has {has}: correct `uses`, or update that first"
