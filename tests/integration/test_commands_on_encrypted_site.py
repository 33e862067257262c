"""`gridlink call` and `publish` on a site that is encrypted: sealed with the site's keys, seen on the wire."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gridlink.bus.server import Server, configuration
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, running
from tests.cli.conftest import Done, run
from tests.integration.proxied import Tap, encryption

KEEPER = """
from gridlink import Module, Refused, request, subscribe

class Probe(Module[None]):
    '''Keeps notes.'''
    roles = ("keeper",)

    def __init__(self):
        self.kept = []

    @request("keep")
    async def keep(self, text: str) -> str:
        if "bad" in text:
            raise Refused(f"it is bad: {text}")
        return f"kept {text}"

    @request("heard")
    async def heard(self) -> list[str]:
        return self.kept

    @subscribe("notes", "note")
    async def on_note(self, text: str) -> None:
        self.kept.append(text)
"""


@dataclass
class Site:
    """A running encrypted site, all of whose connections are read."""

    node: Running
    tap: Tap
    gridlink: Callable[..., Awaitable[Done]]

    @property
    def managed(self) -> Path:
        """Its managed directory."""
        return self.node.managed


async def gridlink(*arguments: str | Path, **environment: Any) -> Done:
    """A command, while this process relays what it sends."""
    return await asyncio.to_thread(partial(run, *arguments, **environment))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """See Site."""
    managed = tmp_path / "managed"
    bundle(managed, "keeper", KEEPER)
    (managed / "site.key").write_text(secrets.token_hex(32))
    (managed / "site.key").chmod(0o600)
    rules = [{"from": "gridlink", "to": "role keeper"}, {"from": "gridlink", "to": "topic notes"}]
    entries = [encryption("site.key", **{"for": {"module": "keeper"}}), {"proxy": "access", "policy": rules}]
    (managed / "site.json").write_text(json.dumps({"proxies": entries}))
    file = tmp_path / "nats-server.conf"
    file.write_text(configuration("site", -1, str(tmp_path)))
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(str(file)))
        tap = Tap(int(server.url.rpartition(":")[2]))
        url = await stack.enter_async_context(tap.listening())
        node = await stack.enter_async_context(running(managed, "--nats", url))
        await node.all_running("keeper")
        yield Site(node, tap, gridlink)


async def test_call_and_publish_seal_what_they_send_and_open_what_comes_back(site: Site) -> None:
    """With -C they find the site's file by themselves, elsewhere it is named; plain text is never on the wire."""
    url = site.node.file["url"]
    there = ("-C", site.managed)
    elsewhere = ("--nats", url, "--site-file", site.managed / "site.json")
    for where in (there, elsewhere):
        done = await gridlink(*where, "call", "keeper", "keep", '"secret words"')
        assert (done.status, done.out, done.err) == (0, '"kept secret words"\n', "")
        done = await gridlink(*where, "publish", "notes", "note", '"secret news"', "--json")
        assert [name.partition("@")[0] for name in done.document["subscribers"]] == ["keeper"]
    named = {"GRIDLINK_SITE_FILE": str(site.managed / "site.json"), "NATS_URL": url}

    async def heard() -> bool:
        return (await gridlink("call", "keeper", "heard", **named)).out == '["secret news","secret news"]\n'

    await eventually(heard, timeout_s=20)
    refused = await gridlink(*there, "call", "keeper", "keep", '"bad secret"')
    assert (refused.status, "Refused: it is bad: bad secret" in refused.err) == (1, True)
    assert b"xchacha20poly1305" in site.tap.bytes
    assert b"secret" not in site.tap.bytes


@pytest.mark.slow
async def test_what_a_command_lacks_is_one_clear_line(site: Site) -> None:
    """The key, the right to read it, the right key, the site file: what is missing, and what to do."""
    call = ("-C", site.managed, "call", "keeper", "keep", '"secret"')
    key, good = site.managed / "site.key", (site.managed / "site.key").read_text()

    async def fails(*arguments: str | Path) -> str:
        done = await gridlink(*arguments)
        assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
        return done.err

    without = await fails("--nats", site.node.file["url"], "call", "keeper", "heard")
    assert "Unreadable: role keeper heard: expected a payload sealed with key" in without
    assert "--site-file" in without
    key.chmod(0o644)
    assert "to be its owner's alone" in await fails(*call)
    key.chmod(0o600)
    key.write_text(secrets.token_hex(32))
    assert "Unreadable" in await fails(*call)
    key.unlink()
    missing = await fails(*call)
    assert f"expected a key in the file {key}, got: No such file or directory" in missing
    missing = await fails("-C", site.managed, "publish", "notes", "note", '"secret"')
    assert "expected a key in the file" in missing
    assert (await gridlink("-C", site.managed, "ls", "--json")).status == 0  # which sends nothing
    (await gridlink("-C", site.managed, "show", "keeper", "--json")).document["modules"]
    key.write_text(good)
    key.chmod(0o600)
    denied = await fails("-C", site.managed, "call", "appmanager", "status")
    assert "AccessDenied: gridlink@" in denied
    assert 'add {"from": "gridlink", "to": "role appmanager"' in denied
    assert b'"secret"' not in site.tap.bytes
