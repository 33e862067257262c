"""A command done at several sites: wave after wave, a line a site, and which ones failed or were left untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import msgspec

from appmanager.orders import Word
from gridlink.cli.call import CallFailed
from gridlink.cli.operate import SUCCEEDED, Asking, Bring, line_of
from gridlink.cli.operator_key import key_file
from gridlink.cli.options import Options
from gridlink.cli.output import print_json
from gridlink.cli.rollout import Rollout
from gridlink.cli.session import session
from gridlink.cli.site_bars import SiteBars, SiteSteps
from gridlink.cli.sites import rollout
from gridlink.cli.steps import Steps
from gridlink.errors import GridlinkError


@dataclass(frozen=True, slots=True)
class Did:
    """What became of a site: see Teller.tell."""

    succeeded: bool
    line: str
    documents: tuple[dict[str, Any], ...] = ()


class Teller:
    """Tells what goes on at one site."""

    def __init__(self, site: str, width: int, bars: SiteBars, as_json: bool) -> None:
        self._site, self._width, self._bars, self._as_json = site, width, bars, as_json

    def steps(self, id: str, kind: Word, module: str) -> Steps:
        """What the steps of a command are told."""
        return SiteSteps(id, kind, module, self._site, self._bars)

    def ended(self) -> None:
        """The site has ended."""
        self._bars.ended(self._site)

    def tell(self, line: str, *documents: Mapping[str, Any]) -> None:
        """A line for people, documents for programs (the field `site` is put in)."""
        if not self._as_json:
            click.echo(f"{self._site:<{self._width}}  {line}")
        for document in documents if self._as_json else ():
            print_json({"site": self._site, **document}, indent=False)


Work = Callable[[str, Teller], Awaitable[Did]]
"""Does it at the site of that name, and tells of steps. What it raises is that site's failure."""


async def ask_sites(
    options: Options,
    type: Word,
    order: dict[str, Any],
    as_json: bool,
    expires_s: float | None = None,
    bring: Bring | None = None,
) -> None:
    """Has a command carried out at each site that the pattern means. Raises CallFailed that names those that failed."""

    async def work(name: str, teller: Teller) -> Did:
        async with session(replace(options, site=name)) as site:
            steps = teller.steps(order["id"], type, order["module"])
            ended = await Asking(site, type, dict(order), steps, key_file(options), expires_s).ended(bring)
        return Did(ended.end in SUCCEEDED, line_of(ended), (msgspec.to_builtins(ended),))

    await in_waves(await rollout(options, harmless=bool(order.get("dry_run"))), work, as_json)


async def in_waves(plan: Rollout, work: Work, as_json: bool, nothing_at: Sequence[str] = ()) -> None:
    """Does the work at each site. Raises CallFailed that names those that failed, and those that are untouched.

    `nothing_at`: sites at which nothing was to do; the last line of JSON counts them as done.
    """
    ended: dict[str, bool] = {}
    width = max(map(len, plan.sites))
    with SiteBars(plan, as_json) as bars:
        while wave := plan.next(ended):
            bars.wave(wave)
            async with asyncio.TaskGroup() as sites:
                for site in wave:
                    sites.create_task(_at(site, work, ended, Teller(site, width, bars, as_json)))
                    # each tells of its own failure: none cancels the others
    failed = [site for site in plan.sites if ended.get(site) is False]
    untouched = plan.untouched(ended)
    if as_json:
        done = [*nothing_at, *(site for site in plan.sites if ended.get(site))]
        print_json({"done": done, "failed": failed, "untouched": untouched}, indent=False)
    if failed:
        more = f"; nothing was begun at {', '.join(untouched)}" if untouched else ""
        raise CallFailed(f"failed at {len(failed)} of {len(plan.sites)} sites: {', '.join(failed)}{more}")


async def _at(site: str, work: Work, ended: dict[str, bool], teller: Teller) -> None:
    try:
        did = await work(site, teller)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other sites go on and it is told
        did = failure(error)
    ended[site] = did.succeeded
    teller.tell(did.line, *did.documents)
    teller.ended()


def failure(error: Exception) -> Did:
    """What is said of a site at which it couldn't be done."""
    reason = " ".join(str(error).split())
    if not isinstance(error, GridlinkError):
        reason = f"{type(error).__name__}: {reason}"
    return Did(False, reason, ({"end": "failed", "reason": reason},))
