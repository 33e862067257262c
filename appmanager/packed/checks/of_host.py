"""Checks against the machine that the bundle is to run on."""

from __future__ import annotations

from collections.abc import Iterator

from appmanager.packed.candidate import Candidate
from appmanager.packed.target import Host, Site, normal
from appmanager.packed.versions import in_range


class Python:
    """The manifest and the list of files are for the machine's Python and platform."""

    name = "platform"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """What is for another."""
        requires, header = candidate.manifest.requires, candidate.header
        wanted = requires.get("python")
        if isinstance(wanted, str):
            yield from _out_of_range("Python", host.python, wanted)
        platforms = requires.get("platform", ())
        if platforms and host.platform not in platforms:
            yield f"it is for {', '.join(platforms)} (requires.platform), this is {host.platform}"
        if header.platform not in ("", host.platform):
            yield f"its libraries are for {header.platform}, this is {host.platform}: pack with --platform"
        minor = ".".join(host.python.split(".")[:2])
        if header.python and (header.python != minor if header.platform else _number(header.python) > _number(minor)):
            yield f"its libraries are for Python {header.python}, this is {minor}: pack with --python {minor}"


class Libraries:
    """What the host has, the bundle takes from it: never brought along, never in another version than it needs."""

    name = "libraries"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """What it brings and must not, and what the host doesn't have."""
        manifest = candidate.manifest
        hosts = {"gridlink", *map(normal, manifest.libraries)}
        for name, version in candidate.header.libraries.items():
            if normal(name) in hosts:
                yield f"it brings {name} {version}, which the host has: take it out of requirements.txt or `requires`"
        if host.packages is None:
            return
        for name in ("gridlink", *manifest.libraries):
            wanted = manifest.requires.get(name)
            if not isinstance(wanted, str):
                continue
            found = host.packages.get(normal(name))
            if found is None:
                yield f"it needs {name} {wanted} of the host, which has none: install it there, or pack it into lib/"
            else:
                yield from _out_of_range(name, found, wanted)


class Memory:
    """What the manifest says that it needs is free. What runs of it gives back its own."""

    name = "memory"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """Why it doesn't fit."""
        from gridlink.node.admission import Free, refusal  # noqa: PLC0415 - for this alone

        needs_mib = candidate.manifest.resources.memory_mib
        if needs_mib is None or site.free_mib is None:
            return
        why = refusal(needs_mib, Free(site.free_mib, site.free_of), {}, site.own_mib)
        if why:
            yield why


def _out_of_range(what: str, version: str, wanted: str) -> Iterator[str]:
    try:
        fits = in_range(version, wanted)
    except ValueError as error:
        yield f"requires.{what.lower()}: {error}"
        return
    if not fits:
        yield f"it needs {what} {wanted}, the host has {version}"


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
