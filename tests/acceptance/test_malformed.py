"""A running node and thousands of messages that are wrong in every way: it lives, answers, and no module sees them."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from nats.aio.client import Client as NatsClient

from gridlink.registry import Entry
from tests import raw_client
from tests.acceptance import junk
from tests.acceptance.running import BUNDLES, Running, bundle, running

PROBE = '''
"""Takes a reading in every way there is, and looks whether what came is one."""

from dataclasses import dataclass, field
from typing import Any

from gridlink import GridlinkError, Module, request, subscribe


@dataclass(frozen=True)
class Reading:
    """What a meter says."""

    meter: str
    value_pu: float
    count: int
    phases: list[int]
    tags: dict[str, bool]
    note: str | None = None


@dataclass(frozen=True)
class Seen:
    """How many readings came, and those that are none."""

    good: int
    bad: list[str]


def is_reading(it: Any) -> bool:
    """Whether it is one, by nothing but Python's own words."""
    return (
        type(it) is Reading
        and type(it.meter) is str
        and type(it.value_pu) is float
        and type(it.count) is int
        and type(it.phases) is list
        and all(type(phase) is int for phase in it.phases)
        and type(it.tags) is dict
        and all(type(key) is str and type(tag) is bool for key, tag in it.tags.items())
        and (it.note is None or type(it.note) is str)
    )


class Probe(Module[None]):
    """Looks at what it gets."""

    roles = ("probe",)

    def __init__(self) -> None:
        self._good, self._bad = 0, []

    def _look(self, it: Any) -> None:
        if is_reading(it):
            self._good += 1
        else:
            self._bad.append(repr(it)[:200])

    @request("echo")
    async def echo(self, reading: Reading) -> Reading:
        """The reading."""
        self._look(reading)
        return reading

    @request("many")
    async def many(self, readings: list[Reading]) -> int:
        """How many there are."""
        for reading in readings:
            self._look(reading)
        return len(readings)

    @request("nothing")
    async def nothing(self) -> None:
        """Takes and gives nothing."""

    @request("ask")
    async def ask(self) -> str:
        """Asks a role outside, and says what became of it."""
        try:
            reply = await self.bus.request("outside", "echo", reply=Reading, timeout_s=2)
        except GridlinkError as error:
            return type(error).__name__
        self._look(reply)
        return "a reading"

    @request("seen")
    async def seen(self) -> Seen:
        """What came so far."""
        return Seen(self._good, self._bad)

    @subscribe("readings", "reading")
    async def reading(self, reading: Reading) -> None:
        """One more."""
        self._look(reading)
'''
MODULES = ("oltc_controller", "probe", "storage", "voltage_guard", "voltage_problem_handler")
FEW, MANY, ONCE = 3_000, 20_000, 250
LINES, LINES_A_SECOND = 60, 20  # of log, at most
MORE_BYTES = 8 * 1024 * 1024  # of memory after the first quarter


def prepare(managed: Path) -> Path:
    """A managed directory with the probe and those modules of the use case that others talk to."""
    managed.mkdir()
    bundle(managed, "probe", PROBE)
    for name in MODULES:
        if name != "probe":
            shutil.copytree(BUNDLES / name, managed / name, ignore=shutil.ignore_patterns("__pycache__"))
    return managed


async def target(node: Running, inbox: str) -> junk.Site:
    """Everything that the node hears, each with a payload that is right there."""
    entries = [entry for entry in node.registry.instances() if entry.name in MODULES]
    heard: dict[str, Any] = {f"instance.{entries[0].node}._node.{type_}": "x" for type_ in ("schema", "counters")}

    async def right(digest: str, of: Entry) -> Any:
        return junk.example(await node.registry.schema(digest, of))

    for entry in entries:
        for type_, digests in entry.requests.items():
            payload = await right(digests["payload"], entry)
            heard |= {f"role.{role}.{type_}": payload for role in entry.roles}
            heard[f"instance.{entry.node}.{entry.name}.{type_}"] = payload
        for topic, types in entry.subscribes.items():
            heard |= {f"topic.{topic}.{type_}": await right(digest, entry) for type_, digest in types.items()}
    return junk.Site("gl.site", entries[0].node, tuple(sorted(heard.items(), key=lambda one: one[0])), inbox)


async def inbox_of(plain: NatsClient) -> str:
    """Where the node hears replies: it is asked to ask us, and we see where our answer is to go."""
    outside = await plain.subscribe("gl.site.role.outside.*")
    await plain.flush()
    await plain.publish("gl.site.role.probe.ask", b"", reply="nobody")
    asked = await outside.next_msg(timeout=10)
    await outside.unsubscribe()
    return asked.reply.rpartition(".")[0]


async def good_request(plain: NatsClient, count: int) -> None:
    """A request that is right, from a program that isn't Gridlink."""
    try:
        answer = await plain.request("gl.site.role.probe.echo", json.dumps(junk.READING).encode(), timeout=10)
    except nats.errors.Error as error:
        raise AssertionError(f"no answer after {count} messages: {error!r}") from error
    assert json.loads(answer.data) == junk.READING, (count, answer.headers, answer.data)


async def seen(plain: NatsClient) -> dict[str, Any]:
    """What the handlers have seen."""
    found: dict[str, Any] = json.loads((await plain.request("gl.site.role.probe.seen", b"", timeout=20)).data)
    return found


async def survives(managed: Path, number: int, seed: int) -> None:
    """Sends so many, and looks at the node before, meanwhile and after."""
    async with running(managed, "--mode", "node") as node, raw_client.client(node.file["url"]) as client:
        try:
            await _survives(node, client, number, seed)
        except BaseException as error:
            last = "\n".join(line[:300] for line in node.output().splitlines()[-60:])
            error.add_note(f"seed {seed}; the server said {dict(client.refused)}; the node said:\n{last}")
            raise


async def _survives(node: Running, client: raw_client.Client, number: int, seed: int) -> None:
    entries = await node.all_running(*MODULES)
    process = psutil.Process(entries[0].pid)
    plain = await nats.connect(node.file["url"])
    try:
        site = await target(node, await inbox_of(plain))
        began_s = time.monotonic()
        lines_before, warm_bytes = len(node.output().splitlines()), 0
        for count, message in enumerate(junk.messages(site, number, seed), start=1):
            await client.send(message.command())
            if count % ONCE == 0:
                await client.settled()
                await good_request(plain, count)
            if count == number // 4:
                warm_bytes = process.memory_info().rss
        found = await seen(plain)
    finally:
        await plain.close()
    said = node.output().splitlines()[lines_before:]
    assert found["bad"] == []
    assert found["good"] > number // ONCE  # those that were right among the others came through, too
    assert {entry.pid for entry in await node.all_running(*MODULES)} == {process.pid}
    assert process.memory_info().rss - warm_bytes < MORE_BYTES
    ours = [line for line in said if "locked out" not in line]  # what a good request made a module say
    assert not [line for line in ours if "Traceback" in line]
    assert len(ours) < LINES + LINES_A_SECOND * (time.monotonic() - began_s), "\n".join(line[:200] for line in ours)


async def test_a_node_survives_what_is_malformed(tmp_path: Path) -> None:
    """Another seed each time; a failure names it."""
    await survives(prepare(tmp_path / "managed"), FEW, secrets.randbits(32))


@pytest.mark.slow
async def test_a_node_survives_very_much_that_is_malformed(tmp_path: Path) -> None:
    """What comes once in ten thousand messages stops a node for good, too."""
    await survives(prepare(tmp_path / "managed"), MANY, secrets.randbits(32))
