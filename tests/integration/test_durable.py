"""Durable topics with real processes that are killed: what was stored reaches its reader, whoever dies on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gridlink.conftest import require_nats_server
from tests.integration.durable_site import durable_site


@pytest.fixture(autouse=True)
def _server() -> None:
    require_nats_server()


async def test_a_killed_consumer_gets_all_that_was_published_meanwhile(tmp_path: Path) -> None:
    """The promise of a durable topic, with the store itself killed while the consumer is away."""
    async with durable_site(tmp_path, back_after_s=1.0) as site:
        await site.publish(0, 1000, per_s=800)
        await site.until(lambda: len(site.seen) > 100, 10)
        site.kill("sink")
        site.kill("jetstream_server")
        await site.until(lambda: site.runs_done == 1, 20)
        await site.all_seen(20)
        site.check()
        assert site.failed == []
        assert len(site.stored) == 1000


async def test_a_killed_publisher_has_lost_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """`publish` returns when the event is stored, so what comes after may be relied upon."""
    async with durable_site(tmp_path) as site:
        await site.publish(0, 10_000, per_s=2000)
        await site.until(lambda: len(site.stored) > 200, 10)
        site.kill("source")
        await site.all_seen(20)
        site.check()
        assert 200 < len(site.stored) < 10_000


@pytest.mark.parametrize("server", [pytest.param("jetstream_server", marks=pytest.mark.slow), "nats_server"])
async def test_a_killed_server_costs_nothing(tmp_path: Path, server: str) -> None:
    """The publisher waits for the server's return, and the reader finds its place again."""
    async with durable_site(tmp_path) as site:
        await site.publish(0, 500, per_s=400)
        await site.until(lambda: len(site.seen) > 100, 10)
        site.kill(server)
        await site.until(lambda: site.runs_done == 1, 30)
        await site.all_seen(20)
        site.check()
        assert site.failed == []
        assert len(site.stored) == 500


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_consumer_killed_for_ten_seconds_at_a_thousand_events_a_second_loses_none(tmp_path: Path) -> None:
    """The number that is promised, with both servers killed on the way."""
    async with durable_site(tmp_path, back_after_s=10.0) as site:
        await site.publish(0, 20_000, per_s=1000)
        await site.until(lambda: len(site.seen) > 2000, 20)
        site.kill("sink")
        await site.until(lambda: len(site.stored) > 6000, 30)
        site.kill("jetstream_server")
        await site.until(lambda: len(site.stored) > 9000, 30)
        site.kill("nats_server")
        await site.until(lambda: site.entry("sink") is not None, 40)
        await site.until(lambda: site.runs_done == 1, 60)
        await site.all_seen(60)
        site.check()
        assert site.failed == []
        assert len(site.stored) == 20_000
        again = len(site.seen) - 20_000
        print(f"20,000 events at 1,000 a second, 0 lost, {again} seen twice")
