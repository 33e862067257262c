"""`gridlink apply` on real nodes: sites come to what a file declares, and then nothing is left to do."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import bundle, good
from tests.acceptance.sites import Sites, sites
from tests.acceptance.test_provisioning import packed, source
from tests.acceptance.test_waves import tree
from tests.appmanager.operators.keys import person
from tests.cli.terminal import Terminal
from tests.conftest import clean_environment, command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
FAILS_WITH_7 = """
    async def start(self):
        if self.config.step == 7:
            raise RuntimeError("not with 7")
"""


def declare(directory: Path, text: str) -> Path:
    """The file."""
    (directory / "site.toml").write_text(text)
    return directory / "site.toml"


async def applied(one: Sites, file: Path, *options: str) -> str:
    """Applies it without being asked; what was printed."""
    status, out, err = await one.gridlink("--site", "a", "apply", file, "--yes", *options)
    assert status == 0, out + err
    return out


async def test_a_site_is_brought_to_what_is_declared_and_then_there_is_nothing_to_do(tmp_path: Path) -> None:
    """Install with settings and a mode, update with other settings, uninstall; each once."""
    bundle(tmp_path / "a", "lamp", good("lamp"))
    await packed(tmp_path, "1.0.0")
    await packed(tmp_path, "1.1.0")
    file = declare(tmp_path, "[modules.counter]\nversion = '1.0.0'\nmode = 'fork'\nsettings.step = 2\n[modules.lamp]\n")
    async with sites(tmp_path, "a") as one:
        await one.settled("lamp")
        before = tree(one.managed("a"))
        status, out, err = await one.gridlink("--site", "a", "apply", file, "--dry-run")
        assert status == 0, out + err
        assert "+ install counter 1.0.0" in out
        assert "would take the steps receive" in out
        status, _, err = await one.gridlink("--site", "a", "apply", file)
        assert (status, "add --yes" in err) == (1, True)
        asked = Terminal(command("--nats", one.url, "--site", "a", "apply", str(file)))
        asked.shows(r"\+ install counter 1\.0\.0", r"Do it at a\?")
        asked.type(b"n\n")
        assert asked.ends() == 1
        assert tree(one.managed("a")) == before

        out = await applied(one, file)
        assert "counter: install done 1.0.0" in out
        assert (await one.states("a"))["counter"] == ("RUNNING", "1.0.0", "fork")
        assert json.loads((one.managed("a") / "counter" / "config.json").read_text()) == {"step": 2}
        before = tree(one.managed("a"))
        assert (await applied(one, file)).splitlines()[-1] == "nothing to do: a"
        assert tree(one.managed("a")) == before

        file = declare(tmp_path, "[modules.counter]\nversion = '1.1.0'\nsettings.step = 3\n")
        out = await applied(one, file, "--json")
        documents = [json.loads(line) for line in out.splitlines()]
        assert documents[0]["plan"][0]["reasons"] == ["1.0.0 -> 1.1.0", "step 2 -> 3"]
        assert documents[-1] == {"done": ["a"], "failed": [], "untouched": []}
        assert (await one.states("a"))["counter"] == ("RUNNING", "1.1.0", "fork")
        assert (await applied(one, file)).splitlines()[-1] == "nothing to do: a"
        out = await applied(one, file, "--json")
        assert json.loads(out.splitlines()[-1]) == {"done": ["a"], "failed": [], "untouched": []}

        out = await applied(one, declare(tmp_path, "[modules.counter]\nversion = '1.0.0'\n"), "--prune")
        assert "~ update counter 1.1.0 -> 1.0.0" in out
        assert "- uninstall lamp" in out
        assert set(await one.states("a")) == {"appmanager", "nodemanager", "counter"}
        status, _, err = await one.gridlink(
            "--site", "a", "apply", declare(tmp_path, "[modules.bell]\nversion = '9.0.0'\n"), "--yes"
        )
        assert (status, "a" in err) == (1, True)


async def test_apply_in_waves_stops_after_the_one_in_which_a_site_failed(tmp_path: Path) -> None:
    """The failing site is as it was, those before are new, those after untouched; each whole."""
    names = ("a", "b", "c")
    for name in names:
        bundle(tmp_path / name, "lamp", good("lamp"))
        made = source(tmp_path / "made" / name, "1.0.0", "node").rename(tmp_path / name / "counter")
        (made / "config.json").write_text(json.dumps({"step": 7 if name == "b" else 1}))
    await packed(tmp_path, "1.1.0", more=FAILS_WITH_7)
    file = declare(tmp_path, "[modules.counter]\nversion = '1.1.0'\n")
    async with sites(tmp_path, *names) as three:
        await three.settled("counter", "lamp")
        status, out, err = await three.gridlink("apply", file, "--yes", "--site", "*", "--stop-on-failure")
        assert status == 1, out + err
        assert "failed at 1 of 3 sites: b; nothing was begun at c" in err
        assert "not with 7" in out
        assert three.versions("counter") == {"a": "1.1.0", "b": "1.0.0", "c": "1.0.0"}
        await three.settled("counter", "lamp")
        status, out, err = await three.gridlink("configure", "counter", "step=8", "--site", "b")
        assert status == 0, out + err
        status, out, err = await three.gridlink("apply", file, "--yes", "--site", "*", "--wave", "2")
        assert status == 0, out + err
        assert "as declared" in out
        assert set(three.versions("counter").values()) == {"1.1.0"}


async def test_an_apply_whose_operator_is_gone_is_joined_by_the_next_one(tmp_path: Path) -> None:
    """Killed in the middle, and applied again at once: the update is done once, and it is known how it ended."""
    source(tmp_path / "made", "1.0.0", "node").rename(bundle(tmp_path / "a", "lamp", good("lamp")).parent / "counter")
    await packed(tmp_path, "1.1.0")
    file = declare(tmp_path, "[modules.counter]\nversion = '1.1.0'\n")
    async with sites(tmp_path, "a") as one:
        await one.settled("lamp", "counter")
        journal = one.managed("a") / ".gridlink" / "journal" / "counter"
        first = await asyncio.create_subprocess_exec(
            *command("--nats", one.url, "--site", "a", "apply", file, "--yes"),
            stdout=subprocess.DEVNULL,
            env=clean_environment(),
        )
        await eventually(journal.exists, timeout_s=30)
        first.kill()
        await first.wait()
        await applied(one, file)
        status, out, err = await one.gridlink("--site", "a", "history", "counter", "--json")
        assert status == 0, err
        assert [(r["kind"], r["outcome"]) for r in map(json.loads, out.splitlines())] == [("update", "done")]
        assert one.versions("counter") == {"a": "1.1.0"}


async def test_what_apply_does_is_signed_and_without_the_operator_s_key_nothing_is_begun(tmp_path: Path) -> None:
    """Each of its commands is one that the site's policy looks at: the move too."""
    maria = person(tmp_path, "maria")
    bundle(tmp_path / "a", "lamp", good("lamp"))
    listed = {"name": maria.operator.name, "nkey": maria.operator.nkey}
    (tmp_path / "a" / "site.json").write_text(json.dumps({"operators": [listed]}))
    await packed(tmp_path, "1.0.0")
    text = "[modules.counter]\nversion = '1.0.0'\nmode = 'fork'\nsettings.step = 2\n[modules.lamp]\n"
    file = declare(tmp_path, text)
    async with sites(tmp_path, "a") as one:
        await one.settled("lamp")
        before = tree(one.managed("a"))
        status, out, _ = await one.gridlink("--site", "a", "apply", file, "--yes")
        assert (status, "isn't signed" in out) == (1, True), out
        assert tree(one.managed("a")) == before
        key = ("--operator-key", maria.seed_file)
        status, out, err = await one.gridlink("--site", "a", *key, "apply", file, "--yes")
        assert status == 0, out + err
        file = declare(tmp_path, "[modules.counter]\nabsent = true\n")
        status, out, err = await one.gridlink("--site", "a", *key, "apply", file, "--yes")
        assert status == 0, out + err
        status, out, err = await one.gridlink("--site", "a", "history", "--json")
        entries = [json.loads(line) for line in out.splitlines()]
        assert [one["kind"] for one in entries] == ["install", "move", "uninstall"]
        assert {one["who"] for one in entries} == {"maria"}


async def test_the_last_door_to_the_outside_is_named_and_uninstalled_only_with_a_yes_on_the_command_line(
    tmp_path: Path,
) -> None:
    """Whoever closes it can't come back to open it."""
    bundle(tmp_path / "a", "gate", good("gateway"))
    bundle(tmp_path / "a", "lamp", good("lamp"))
    file = declare(tmp_path, "[modules.lamp]\n")
    async with sites(tmp_path, "a") as one:
        await one.settled("gate", "lamp")
        status, out, _ = await one.gridlink("--site", "a", "apply", file, "--prune", "--dry-run")
        assert (status, "- uninstall gate 1.0.0, (not declared), (the last door to the outside)" in out) == (1, True)
        assert "uninstall gate would be refused: " in out
        asked = Terminal(command("--nats", one.url, "--site", "a", "apply", str(file), "--prune"))
        asked.shows(r"the last door to the outside", r"Do it at a\?")
        asked.type(b"y\n")
        assert asked.ends() == 1
        assert (await one.states("a"))["gate"][0] == "RUNNING"
        assert "gate: uninstall done" in await applied(one, file, "--prune")
        assert "gate" not in await one.states("a")


async def test_a_dry_run_tells_what_depends_on_the_steps_before_from_what_would_be_refused(tmp_path: Path) -> None:
    """A module whose role is installed just before it is none that nobody can install."""
    bundle(tmp_path / "a", "lamp", good("lamp"))
    await packed(tmp_path, "1.0.0")
    makes = {"user": good("user"), "broken": f"import nothing_of_that_name\n{good('broken')}"}
    async with sites(tmp_path, "a") as one:
        for name, code in makes.items():
            made = bundle(tmp_path / "made", name, code, uses={"role counter": ["add"]})
            status, _, err = await one.gridlink("pack", made, "-o", tmp_path / f"{name}-1.0.0.glb")
            assert status == 0, err
        await one.settled("lamp")
        text = "[modules.user]\nversion = '1.0.0'\n[modules.counter]\nversion = '1.0.0'\n"
        status, out, err = await one.gridlink("--site", "a", "apply", declare(tmp_path, text), "--dry-run")
        assert status == 0, out + err
        assert "install user depends on what comes before it (install counter): user 1.0.0: it uses role" in out
        file = declare(tmp_path, f"{text}[modules.broken]\nversion = '1.0.0'\n")
        status, out, err = await one.gridlink("--site", "a", "apply", file, "--dry-run")
        assert (status, "1 of 3 commands would be refused" in out + err) == (1, True), out + err
        assert "install broken would be refused: import of broken: No module named" in out
