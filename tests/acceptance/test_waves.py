"""An operator's command at several sites: which are done, in which order, and what is said of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.running import bundle, good
from tests.acceptance.sites import sites
from tests.acceptance.test_provisioning import packed, source
from tests.cli.terminal import Terminal
from tests.conftest import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
NAMES = ("east", "west1", "west2", "west3")


def make(directory: Path, counters: tuple[str, ...]) -> None:
    """The sites' managed directories: a lamp each, and a counter at some."""
    for name in NAMES:
        bundle(directory / name, "lamp", good("lamp"))
        if name in counters:
            source(directory / "made" / name, "1.0.0", "node").rename(directory / name / "counter")


async def test_a_command_is_done_at_the_sites_that_a_pattern_means_and_stops_after_a_wave_that_failed(
    tmp_path: Path,
) -> None:
    """West2 has no counter: its wave is the last, west3 is named as untouched, and east was never meant."""
    make(tmp_path, ("east", "west1", "west3"))
    second = await packed(tmp_path, "1.1.0")
    async with sites(tmp_path, *NAMES) as all_sites:
        await all_sites.settled("lamp")
        status, out, err = await all_sites.gridlink("update", second, "--site", "west*", "--stop-on-failure")
        assert status == 1, out + err
        lines = [line.split(maxsplit=1) for line in out.splitlines()]
        assert lines[0] == ["west1", "counter: update done 1.0.0 -> 1.1.0"]
        assert lines[1][0] == "west2"
        assert "isn't installed here" in lines[1][1]
        assert "failed at 1 of 3 sites: west2; nothing was begun at west3" in err
        assert all_sites.versions("counter") == {"east": "1.0.0", "west1": "1.1.0", "west3": "1.0.0"}

        status, out, err = await all_sites.gridlink("update", second, "--site", "west2,west3", "--wave", "2", "--json")
        documents = [json.loads(line) for line in out.splitlines()]
        assert status == 1
        assert documents[-1] == {"done": ["west3"], "failed": ["west2"], "untouched": []}
        assert {one["site"] for one in documents[:-1]} == {"west2", "west3"}

        status, out, err = await all_sites.gridlink("history", "counter", "--site", "*")
        assert status == 0, err
        assert "update" in out
        status, out, err = await all_sites.gridlink("logs", "appmanager", "-n", "3", "--site", "west*", "--json")
        assert status == 0, err
        sites_of = [json.loads(line)["site"] for line in out.splitlines()]
        assert {site: sites_of.count(site) for site in sites_of} == {"west1": 3, "west2": 3, "west3": 3}
        status, _, err = await all_sites.gridlink("stop", "lamp", "--site", "north*")
        assert (status, "there are east, west1, west2, west3" in err) == (1, True)
        status, out, err = await all_sites.gridlink("restart", "lamp", "--site", "east,nowhere", "--wave", "2")
        assert status == 1
        assert "lamp: restart done" in out
        assert "no AppManager is running at site nowhere" in out
        seen = Terminal(command("--nats", all_sites.url, "restart", "lamp", "--site", "east,west1", "--wave", "2"))
        seen.shows(r"all .*sites", r"east +lamp: restart done", r"west1 +lamp: restart done")
        assert seen.ends() == 0


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a managed directory with its time and content, but for logs, checkpoints and what runs."""
    own = ("logs", "node.json", "nats", "states")
    files = [path for path in directory.rglob("*") if path.is_file() and not set(path.parts) & set(own)]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


COMMANDS = (
    ("install", "NEW"),
    ("update", "THIRD"),
    ("configure", "counter", "step=2"),
    ("uninstall", "counter"),
    ("rollback", "counter"),
    ("start", "counter"),
    ("stop", "counter"),
    ("restart", "counter"),
    ("kill", "counter"),
)


async def test_a_dry_run_of_each_command_says_the_steps_and_changes_nothing(tmp_path: Path) -> None:
    """At one site, and at several; what would be refused is refused, with exit status 1."""
    make(tmp_path, NAMES)
    second = await packed(tmp_path, "1.1.0")
    files = {"THIRD": await packed(tmp_path, "1.2.0"), "NEW": tmp_path / "other.glb"}
    async with sites(tmp_path, *NAMES[:2]) as two:
        new = bundle(tmp_path / "new", "other", good("other"))
        assert (await two.gridlink("pack", new, "-o", files["NEW"]))[0] == 0
        await two.settled("lamp", "counter")
        status, _, err = await two.gridlink("update", second, "--site", "*", "--wave", "2")
        assert status == 0, err
        before = {name: tree(two.managed(name)) for name in two.names}
        running = {name: await two.states(name) for name in two.names}
        for command in COMMANDS:
            words = [str(files.get(word, word)) for word in command]
            status, out, err = await two.gridlink("--site", "east", *words, "--dry-run")
            assert (status, "would take the steps" in out) == (0, True), out + err
            status, out, err = await two.gridlink(*words, "--dry-run", "--site", "east,west1")
            assert (status, out.count("would take the steps")) == (0, 2), out + err
            status, _, err = await two.gridlink("--site", "east", *refused(words, files), "--dry-run")
            assert (status, err.count("\n")) == (1, 1), err
        assert {name: tree(two.managed(name)) for name in two.names} == before
        assert {name: await two.states(name) for name in two.names} == running


def refused(words: list[str], files: dict[str, Path]) -> list[str]:
    """The same command, so that it can't be done: an install of what is there, anything else of what isn't."""
    if words[0] == "install":
        return ["install", str(files["THIRD"])]
    if words[0] == "update":
        return ["update", str(files["NEW"])]
    return [words[0], "nothing_of_that_name", *words[2:]]
