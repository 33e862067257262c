"""Sites behind a control centre are changed from there, over links of 400 ms that lose packets and are cut."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appmanager.provisioning.machine import STEPS, Kind
from gridlink.testing import eventually
from tests.acceptance.running import bundle
from tests.integration.cluster.machines import COMMAND, ECHO
from tests.integration.cluster.test_uplink import HUB, SITES, Centre, ask_at_home, centre_of

pytestmark = [pytest.mark.usefixtures("namespaces"), pytest.mark.slow, pytest.mark.timeout(400)]
OUTAGE_S = 9.0  # longer than either end takes to notice
FIRST = "1.0.0"
ASKED = "asked"  # before the first step: the command doesn't even get there
FAILS_AT_B = """
        if "/b.done" in self.config.done:
            raise RuntimeError("not at b")
"""


def packed(directory: Path, version: str, more: str = "") -> Path:
    """The echo in another version."""
    code = ECHO.replace("    async def start(self) -> None:\n", f"    async def start(self) -> None:\n{more}")
    made, file = bundle(directory / version, "echo", code, version=version), directory / f"echo-{version}.glb"
    subprocess.run([COMMAND, "pack", str(made), "-o", str(file)], check=True, capture_output=True)
    return file


def at_centre(centre: Centre, *words: str | Path) -> subprocess.Popen[str]:
    """A command at the control centre, by an operator who has the keys of all sites."""
    own = centre.trust / "hub"
    environment = {**os.environ, "NATS_NKEY": str(own / "operators"), "NATS_CA": str(own / "ca.pem")}
    typed = [COMMAND, "--nats", f"tls://{HUB}:4222", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(centre.hub.command(*typed), stdout=pipe, stderr=pipe, text=True, env=environment)


async def ended(process: subprocess.Popen[str], within_s: float = 120.0) -> tuple[int, str, str]:
    """Its exit status and what it printed."""
    out, err = await asyncio.to_thread(process.communicate, timeout=within_s)
    return process.returncode, out, err


def version_of(centre: Centre, site: str) -> str:
    """The version on the site's disk, which is whole: its manifest is there, and nothing is under way."""
    managed = centre.sites[site].managed
    version: str = json.loads((managed / "echo" / "module.json").read_text())["version"]
    assert not [path for name in ("journal", "staged") for path in (managed / ".gridlink" / name).glob("*")]
    return version


async def recorded(centre: Centre, site: str) -> list[dict[str, Any]]:
    """The commands that the site has on record."""
    status, out, err = await ended(at_centre(centre, "history", "echo", "--site", site, "--json"))
    assert status == 0, err
    return [json.loads(line) for line in out.splitlines()]


def entries(centre: Centre, site: str) -> int:
    """How many commands are on the site's record, as its disk has it."""
    file = centre.sites[site].managed / ".gridlink" / "record"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def reached(centre: Centre, site: str, step: str, before: int) -> bool:
    """Whether the command that comes after so many has come to that step (by its journal at the site), or has ended."""
    journal = centre.sites[site].managed / ".gridlink" / "journal" / "echo"
    try:
        return f'"{step}"' in journal.read_text() or entries(centre, site) > before
    except FileNotFoundError:
        return entries(centre, site) > before


async def cut_in(centre: Centre, site: str, step: str, file: Path) -> float:
    """Cuts the link when the update has come to the step, and mends it; how long the command took after that."""
    if step == ASKED:
        centre.cut(site)
    before = entries(centre, site)
    process = at_centre(centre, "update", file, "--via", "store", "--site", site, "--expires", "200", "--json")
    if step != ASKED:
        await eventually(lambda: reached(centre, site, step, before) or process.poll() is not None, timeout_s=100)
        centre.cut(site)
    await asyncio.sleep(OUTAGE_S)  # the outage itself
    centre.mend(site)
    mended_s = time.monotonic()
    status, out, err = await ended(process)
    assert status == 0, f"{site} {step}: {out}{err}"
    assert json.loads(out.splitlines()[-1])["end"] == "done"
    return time.monotonic() - mended_s


async def one_site(centre: Centre, site: str, steps: Sequence[str], files: Sequence[Path]) -> None:
    """An update a step, each to the next version."""
    for number, (step, file) in enumerate(zip(steps, files, strict=False), 1):
        took_s = await cut_in(centre, site, step, file)
        print(f"{site}: cut in {step}: {version_of(centre, site)}, known {took_s:.1f} s after the link was back")
        assert file.name == f"echo-{version_of(centre, site)}.glb"
        await ask_at_home(centre.sites[site])
        kinds = [(one["kind"], one["outcome"]) for one in await recorded(centre, site)]
        assert kinds == [("update", "done")] * number


async def test_an_update_whose_link_is_cut_at_any_step_is_done_once_and_its_outcome_is_told(tmp_path: Path) -> None:
    """The site goes on by itself; the command asks again with the same id until it hears how it ended."""
    steps = [ASKED, *(step.value for step in STEPS[Kind.UPDATE])]
    files = [packed(tmp_path / "packed", f"1.{minor}.0") for minor in range(1, 2 + len(steps) // len(SITES))]
    async with centre_of(tmp_path) as centre:
        for site in SITES:
            await centre.visible(site, within_s=40)
        async with asyncio.TaskGroup() as sites:
            for number, site in enumerate(SITES):
                sites.create_task(one_site(centre, site, steps[number :: len(SITES)], files))


async def test_apply_in_waves_over_such_links_stops_after_the_wave_in_which_a_site_failed(tmp_path: Path) -> None:
    """Each site is old or new, and whole; what comes after the failing wave is untouched. Again, it changes no more."""
    packed(tmp_path / "packed", "2.0.0", FAILS_AT_B)
    (tmp_path / "packed" / "sites.toml").write_text("[modules.echo]\nversion = '2.0.0'\n")
    async with centre_of(tmp_path) as centre:
        for site in SITES:
            await centre.visible(site, within_s=40)
        words = ("apply", tmp_path / "packed" / "sites.toml", "--site", "*", "--yes", "--via", "store")
        status, out, err = await ended(at_centre(centre, *words, "--stop-on-failure"))
        assert status == 1, out + err
        assert "failed at 1 of 3 sites: b; nothing was begun at c" in err
        assert "not at b" in out
        assert [version_of(centre, site) for site in SITES] == ["2.0.0", FIRST, FIRST]
        assert await recorded(centre, "c") == []
        for site in SITES:
            await ask_at_home(centre.sites[site])
        status, out, err = await ended(at_centre(centre, *words, "--wave", "3"))
        assert "failed at 1 of 2 sites: b" in err
        assert [version_of(centre, site) for site in SITES] == ["2.0.0", FIRST, "2.0.0"]
        assert len(await recorded(centre, "a")) == 1
