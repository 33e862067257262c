"""The module around the store: its contract as it is on the wire, and the errors that reach the sender."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import pytest_asyncio

from gridlink import Busy, Refused
from gridlink.manifest import parse
from gridlink.module.module import config_type
from storage import Storage, api
from storage.errors import StoreBusy
from storage.module import Config

BUNDLE = Path(__file__).parents[3] / "modules" / "storage"


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """A started module with the parts of its environment that it uses, and no bus."""
    module = Storage()
    module.config = Config()
    module.data_dir = tmp_path
    module.clock = SimpleNamespace(now=time.time)  # type: ignore[assignment]
    await module.start()
    yield module
    await module.stop()


def test_the_manifest_and_the_configuration_fit_their_types() -> None:
    """A bundle that can't be started must not be shipped."""
    manifest = parse(json.loads((BUNDLE / "module.json").read_text()), "module.json")
    assert manifest.entry == "storage:Storage"
    assert config_type(Storage) is Config
    assert msgspec.json.decode((BUNDLE / "config.json").read_bytes(), type=Config, strict=True) == Config()


async def test_a_measurement_goes_in_and_comes_back_as_json(storage: Storage) -> None:
    """The names on the wire are the contract with other languages."""
    await storage.create_data_point(api.DataPointSpec("tap", "steps"))
    new = msgspec.json.decode(b'{"dataPoint":"tap","value":3,"timestamp_s":60}', type=api.NewMeasurement)
    assert await storage.add_measurement(new) == api.Stored(1)
    newest = await storage.get_most_recent_value(api.DataPointQuery("tap"))
    assert msgspec.json.encode(newest) == b'{"dataPoint":"tap","value":3.0,"unit":"steps","timestamp_s":60.0}'
    many = [api.NewMeasurement("tap", 4.0, at_s) for at_s in (120.0, 180.0)]
    assert await storage.add_measurements(api.NewMeasurements(many)) == api.Stored(2)
    history = await storage.get_measurements(api.RangeQuery("tap", 0.0, 120.0))
    assert history == api.History("tap", "steps", [api.TimedValue(3.0, 60.0), api.TimedValue(4.0, 120.0)])


async def test_measured_voltages_and_powers_become_data_points(storage: Storage) -> None:
    """Nobody has to ask for it: the history is there when the handler of a problem needs it."""
    await storage.on_voltage(api.Voltage("bus_3", 1.02, 60.0))
    await storage.on_power(api.Power("bus_3", 4.5, -0.5, 60.0))
    for name, value, unit in (("voltage_pu", 1.02, "pu"), ("active_kw", 4.5, "kW"), ("reactive_kvar", -0.5, "kvar")):
        found = await storage.get_most_recent_value(api.DataPointQuery(f"bus_3.{name}"))
        assert found == api.Measurement(f"bus_3.{name}", value, unit, 60.0)
    assert (await storage.status()).eventsBuffered == 3


async def test_what_the_store_refuses_reaches_the_sender_as_refused(storage: Storage) -> None:
    """With the same text: it says what to do."""
    with pytest.raises(Refused, match="make it with createDataPoint"):
        await storage.add_measurement(api.NewMeasurement("none", 1.0, 1.0))


async def test_a_full_queue_reaches_the_sender_as_busy(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Busy means nothing was begun: the sender may try again."""

    async def add(_: object) -> int:
        raise StoreBusy("full")

    monkeypatch.setattr(storage._store, "add", add)
    with pytest.raises(Busy, match="full"):
        await storage.add_measurement(api.NewMeasurement("p", 1.0, 1.0))


async def test_limits_change_without_a_restart_and_wrong_ones_are_refused(storage: Storage) -> None:
    """The old values stay when the new ones can't be kept."""
    await storage.configure(Config(), Config(keep_days=7.0))
    with pytest.raises(Refused, match="keep_mib must be at least 4"):
        await storage.configure(Config(), Config(keep_mib=1.0))
    assert storage._store.limits.keep_days == 7.0


async def test_a_disk_that_takes_no_events_is_not_healthy(storage: Storage) -> None:
    """Until it takes them again."""
    assert await storage.healthy() is True
    events = storage._store._events
    assert events is not None
    events.last_error = "the disk is full"
    assert await storage.healthy() == "the disk is full"
