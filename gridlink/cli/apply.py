"""`gridlink apply`: sites are brought to a declared state; what is other is shown first."""

from __future__ import annotations

import asyncio
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from gridlink.cli.applying import How, SitePlan, carry_out, plan_of
from gridlink.cli.declared import Declared, DeclaredModule, flat, read_declared
from gridlink.cli.difference import Wanted
from gridlink.cli.operate import DRY_RUN, EXPIRES
from gridlink.cli.operator_key import key_file
from gridlink.cli.options import Options, find
from gridlink.cli.output import JSON, print_json
from gridlink.cli.provision import VIA
from gridlink.cli.rollout import Rollout, is_several
from gridlink.cli.sending import Via
from gridlink.cli.session import run, session
from gridlink.cli.sites import AT_ONCE, over_sites, rollout
from gridlink.cli.waves import Did, Teller, in_waves
from gridlink.codec import loads
from gridlink.errors import GridlinkError, Refused
from gridlink.manifest import Manifest, parse

MANIFEST, MAX_MANIFEST_BYTES = "module.json", 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

    wanted: tuple[Wanted, ...]
    prune: bool
    how: How
    as_json: bool


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prune", is_flag=True, help="Uninstall what FILE doesn't name.")
@click.option("--yes", is_flag=True, help="Don't ask, and uninstall the last door to the outside too.")
@VIA
@EXPIRES
@DRY_RUN
@JSON
@click.pass_obj
@over_sites
def command(
    options: Options,
    file: Path,
    prune: bool,
    yes: bool,
    via: Via,
    expires_s: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring a site to the state that FILE (TOML or JSON) declares: modules, versions, configuration, modes.

    What is other is shown first, and done after a yes. Done again it changes nothing, and says so. What FILE doesn't
    say stays as it is: a module that isn't named stays, unless --prune is given.

    \b
        [modules.line_watch]
        version = "0.2.0"                # line_watch-0.2.0.glb beside FILE; or: bundle = "PATH"
        mode = "fork"                    # node, fork, process; into = "NODEMANAGER"
        settings.greeting = "welcome"    # the rest stays; or, all of it: config = {…}
        [modules.old_one]
        absent = true
    """
    declared = read_declared(file)
    wanted = tuple(wanted_of(name, module, declared, file.parent) for name, module in declared.modules.items())
    how = How(via, key_file(options), expires_s, dry_run, yes)
    run(_apply(options, Asked(wanted, prune, how, as_json)))


async def _apply(options: Options, asked: Asked) -> None:
    if is_several(options.site):
        plan = await rollout(options, harmless=asked.how.dry_run)
    else:
        plan = Rollout((find(options).site,), 1)
    found = await _plans(options, plan.sites, asked)
    nothing = {site for site, one in found.items() if isinstance(one, SitePlan) and not one.steps}
    other = tuple(site for site in plan.sites if site not in nothing)
    _show(found, asked.as_json)
    if not other:
        if asked.as_json:
            print_json({"done": plan.sites, "failed": [], "untouched": []}, indent=False)
        else:
            click.echo(f"nothing to do: {', '.join(plan.sites)}")
        return
    if (
        not asked.how.dry_run
        and not asked.how.yes
        and any(isinstance(one, SitePlan) and one.steps for one in found.values())
    ):
        _confirm(other)

    async def work(site: str, teller: Teller) -> Did:
        return await _at(replace(options, site=site), found[site], asked, teller)

    as_declared = [site for site in plan.sites if site in nothing]
    await in_waves(Rollout(other, plan.size, plan.stop_on_failure), work, asked.as_json, as_declared)


async def _plans(options: Options, sites: Sequence[str], asked: Asked) -> dict[str, SitePlan | GridlinkError]:
    """What is to be done at each site, or why that can't be told."""

    at_once = asyncio.Semaphore(AT_ONCE)

    async def look(site: str) -> SitePlan | GridlinkError:
        try:
            async with at_once, session(replace(options, site=site)) as one:
                return await plan_of(one, asked.wanted, asked.prune)
        except GridlinkError as error:
            return error

    return dict(zip(sites, await asyncio.gather(*map(look, sites)), strict=True))


def _show(found: dict[str, SitePlan | GridlinkError], as_json: bool) -> None:
    for site, plan in found.items():
        if isinstance(plan, SitePlan):
            lines = plan.lines or ("as declared",)
            documents = [{"step": step.word, "module": step.module, "reasons": step.reasons} for step in plan.steps]
            document: dict[str, object] = {"site": site, "plan": documents}
        else:
            lines = (f"! {' '.join(str(plan).split())}",)
            document = {"site": site, "plan": None, "reason": " ".join(str(plan).split())}
        if as_json:
            print_json(document, indent=False)
        else:
            click.echo("\n".join([f"{site}:", *(f"  {line}" for line in lines)]))


def _confirm(sites: Sequence[str]) -> None:
    """Raises Refused for anything but a yes."""
    if not sys.stdin.isatty():
        raise Refused("nothing was done: nobody is there to say yes: add --yes, or --dry-run to look alone")
    if not click.confirm(f"Do it at {', '.join(sites)}?"):
        raise Refused("nothing was done")


async def _at(options: Options, shown: SitePlan | GridlinkError, asked: Asked, teller: Teller) -> Did:
    if not isinstance(shown, SitePlan):
        raise shown
    async with session(options) as site:
        plan = await plan_of(site, asked.wanted, asked.prune)
        if plan.lines != shown.lines and plan.steps:
            raise Refused(f"it is another one now than what was shown ({'; '.join(plan.lines)}): apply again")
        await carry_out(site, plan, teller, asked.how)
        if asked.how.dry_run:
            return Did(True, f"{len(plan.steps)} commands, nothing was changed")
        left = await plan_of(site, asked.wanted, asked.prune)
    if left.steps:
        raise Refused(f"it is not as declared: {'; '.join(left.lines)}")
    return Did(True, f"as declared: {len(plan.steps)} commands done", ({"end": "done", "commands": len(plan.steps)},))


def wanted_of(name: str, module: DeclaredModule, declared: Declared, directory: Path) -> Wanted:
    """The module with what its bundle says of it, where that is at hand. Raises Refused, BundleInvalid."""
    wanted = Wanted(
        name,
        version=module.version or "",
        mode=module.mode or "",
        into=module.into or "",
        settings=flat(module.settings),
        config=module.config,
        absent=module.absent,
    )
    file = directory / module.bundle if module.bundle else None
    if file is None and module.version:
        named = directory / declared.bundles / f"{name}-{module.version}.glb"
        file = named if named.exists() else None
    if file is None:
        return wanted
    found, digest = _bundle(file)
    if found.name != name or module.version not in (None, found.version):
        expected = f"{name} {module.version or ''}".rstrip()
        raise Refused(f"{file}: expected {expected}, got {found.name} {found.version}: name another bundle")
    return replace(
        wanted,
        version=found.version,
        digest=digest,
        source=str(file.resolve()),
        bundle_mode=found.mode,
        bundle_into=found.into or "",
        uses=found.used_roles,
    )


def _bundle(file: Path) -> tuple[Manifest, str]:
    from appmanager.packed.about import about  # noqa: PLC0415 - `gridlink apply --help` needs none of it

    try:
        *_, digest = about(file)
        with zipfile.ZipFile(file) as packed, packed.open(MANIFEST) as manifest:
            document = loads(manifest.read(MAX_MANIFEST_BYTES))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise Refused(f"{file} can't be read ({error}): give a file that `gridlink pack` has made") from error
    return parse(document, str(file)), digest
