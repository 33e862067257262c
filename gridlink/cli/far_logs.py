"""`gridlink logs --site`: what a site's machines have logged, asked of their AppManagers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import click

from appmanager.orders import LogRecord, Logs
from gridlink.cli.call import CallFailed, explained, ready
from gridlink.cli.operate import appmanager, present
from gridlink.cli.options import Options
from gridlink.cli.rollout import Rollout, is_several
from gridlink.cli.session import Session, session
from gridlink.cli.sites import rollout
from gridlink.errors import ConnectionLost, GridlinkError, NoSuchInstance, RequestTimeout

WITHIN_S = 30.0
AGAIN_S = 2.0
Print = Callable[[str, LogRecord], None]
"""Prints a record of a site; its name is empty where it is the only one."""


async def far_logs(options: Options, name: str, last: int, follow: bool, out: Print) -> None:
    """Prints the records of each site that is meant, site by site; then goes on with what comes. Raises CallFailed."""
    plan = await rollout(options, harmless=True) if is_several(options.site) else Rollout((options.site,), 1)
    several = len(plan.sites) > 1
    failed: list[str] = []

    async def of_site(where: str) -> None:
        try:
            async with session(replace(options, site=where)) as site:
                await _show(site, name, last, follow, lambda record: out(where if several else "", record))
        except GridlinkError as error:
            failed.append(where)
            click.echo(f"{where}: {error}", err=True)

    async with asyncio.TaskGroup() as sites:
        for where in plan.sites:
            sites.create_task(of_site(where))
    if failed:
        raise CallFailed(f"failed at {len(failed)} of {len(plan.sites)} sites: {', '.join(failed)}")


async def _show(site: Session, name: str, last: int, follow: bool, out: Callable[[LogRecord], None]) -> None:
    await present(site)
    to = appmanager(site, name).instance
    sender, since, seen = await ready(site), "", set[LogRecord]()
    while True:
        order = {"name": name, "last": 500 if since else last, "since": since}
        try:
            found: Logs = await sender.request(to, "logs", order, reply=Logs, timeout_s=WITHIN_S)
        except (RequestTimeout, ConnectionLost, NoSuchInstance) as error:
            if not since:
                raise explained(error, to, "logs") from error
            await asyncio.sleep(AGAIN_S)  # the link is gone: it goes on when it is back
            continue
        except GridlinkError as error:
            raise explained(error, to, "logs") from error
        for record in found.records:
            if record not in seen:
                out(record)
        if not follow:
            return
        if found.records:
            since = found.records[-1].time
            seen = set(found.records)  # all of them: where a clock was set back, some come again that are later
        await asyncio.sleep(AGAIN_S)
