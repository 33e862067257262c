"""The options of a command that several sites may be meant by, and which sites those are."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from gridlink.cli.options import Options, find
from gridlink.cli.rollout import Rollout, is_glob, matching
from gridlink.cli.session import FAR_JOIN_S, opened
from gridlink.codec import loads
from gridlink.errors import NoSuchInstance, PayloadInvalid
from gridlink.registry.registry import JOIN_S

AT_ONCE = 32  # sites that are looked at: a connection each
F = TypeVar("F", bound=Callable[..., None])
_SITE = click.option(
    "--site",
    "pattern",
    default="",
    metavar="PATTERN",
    help="The site; or several: a glob ('west*', '*') or names with commas.",
)
_WAVE = click.option(
    "--wave",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of several sites, N at once; the next N when those have ended.  [1; 32 where nothing is changed]",
)
_STOP = click.option(
    "--stop-on-failure", is_flag=True, help="Of several sites: the wave in which one fails is the last."
)


def over_sites(function: F) -> F:
    """Adds `--site`, `--wave` and `--stop-on-failure` to a command, and puts them into its Options."""

    @_SITE
    @_WAVE
    @_STOP
    @functools.wraps(function)
    def asked(
        options: Options, *arguments: Any, pattern: str, wave: int | None, stop_on_failure: bool, **named: Any
    ) -> None:
        site = pattern or options.site
        function(replace(options, site=site, wave=wave, stop_on_failure=stop_on_failure), *arguments, **named)

    return asked  # type: ignore[return-value]


async def rollout(options: Options, *, harmless: bool) -> Rollout:
    """The sites that are meant, in waves. `harmless`: nothing is changed, so that many may be asked at once.

    Raises NoSuchInstance: the pattern fits none; ServerUnreachable.
    """
    known = await _known(options) if is_glob(options.site) else ()
    sites = matching(options.site, known)
    if not sites:
        there = ", ".join(known) or "none whose AppManager answers"
        raise NoSuchInstance(f"no site fits {options.site!r}: there are {there}")
    return Rollout(sites, options.wave or (AT_ONCE if harmless else 1), options.stop_on_failure)


async def _known(options: Options) -> tuple[str, ...]:
    """The sites that can be reached: those for which there is a key, or else those whose AppManager answers a PING."""
    if keys := _keys():
        return keys
    where = find(replace(options, site=""))
    bus, found = await opened(where), set[str]()
    try:
        raw = bus.raw()
        inbox = raw.new_inbox()

        def take(subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> None:
            found.update(_site(body))

        end = await raw.listen(inbox, take)
        raw.put("$SRV.PING.appmanager", b"", reply=inbox)
        await asyncio.sleep(JOIN_S if where.managed is not None else FAR_JOIN_S)  # nobody knows how many will answer
        await end()
    finally:
        await bus.aclose()
    return tuple(sorted(found))


def _keys() -> tuple[str, ...]:
    """The sites whose keys lie in NATS_NKEY, where that is a directory."""
    keys = os.environ.get("NATS_NKEY", "")
    return tuple(sorted(seed.stem for seed in Path(keys).glob("*.nk"))) if keys and Path(keys).is_dir() else ()


def _site(body: bytes) -> list[str]:
    """The site of whoever answers a PING (ADR-32); none of one that isn't Gridlink's."""
    try:
        site = loads(body)["metadata"]["gridlink.site"]
    except (PayloadInvalid, KeyError, TypeError):
        return []
    return [site] if isinstance(site, str) else []
