"""The network's description is read whole or refused with the place of the fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from data_generator.configuration import DATA, delivered_feeder
from data_generator.network import NetworkError, load_network
from data_generator.topology import radial_order

TEXT = (DATA / "network.json").read_text()


def changed(**fields: Any) -> str:
    """The delivered network's text with fields replaced."""
    return json.dumps({**json.loads(TEXT), **fields})


def test_the_delivered_network_is_the_one_of_14_buses() -> None:
    """A wrong file would still solve: what it holds is stated once, here."""
    network = load_network(TEXT)
    assert network.buses == tuple(range(1, 15))
    assert len(network.lines) == 13
    assert network.lv_busbar == 4
    assert 4 not in network.meters
    assert (network.transformer.tap_min, network.transformer.tap_max) == (-4, 4)


def test_a_higher_tap_position_means_a_higher_ratio() -> None:
    """The tap changer is on the HV side: higher lowers the LV side."""
    transformer = load_network(TEXT).transformer
    assert transformer.ratio(0) == 1.0
    assert transformer.ratio(2) == pytest.approx(1.05)
    assert transformer.ratio(-4) == pytest.approx(0.90)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "expected JSON"),
        ("[]", "network: expected an object"),
        (changed(buses=[]), "network.buses"),
        (changed(lines=[{"from": 1}]), r"network\.lines\[0\]\.to"),
        (changed(lv_busbar=99), "network.lv_busbar: expected one of the buses, came 99"),
        (changed(lv_busbar="four"), "network.lv_busbar: expected a whole number"),
        (changed(meters=[1, 77]), "network.meters"),
        (changed(buses=[{"bus": 1}, {"bus": 1}]), "came one twice"),
        (
            changed(trafo={**json.loads(TEXT)["trafo"], "sn_mva": 0}),
            r"trafo\.sn_mva: expected a number above 0",
        ),
        (changed(trafo={**json.loads(TEXT)["trafo"], "vkr_percent": 9}), "vkr_percent up to vk_percent"),
        (changed(trafo={**json.loads(TEXT)["trafo"], "tap_min": 1}), "tap_min <= tap_neutral"),
    ],
)
def test_what_is_wrong_in_a_description_is_named(text: str, place: str) -> None:
    """Somebody who edits the file must be told where the fault is."""
    with pytest.raises(NetworkError, match=place):
        load_network(text)


def test_every_bus_comes_after_the_one_that_feeds_it() -> None:
    """The sweeps rely on this order."""
    order = radial_order(load_network(TEXT))
    assert order.buses[0] == 4
    assert sorted(order.buses) == list(range(1, 15))
    assert all(parent < index for index, parent in enumerate(order.parents))
    for index, line in enumerate(order.lines[1:], start=1):
        assert line is not None
        assert {line.from_bus, line.to_bus} == {order.buses[index], order.buses[order.parents[index]]}


def test_a_loop_and_an_island_are_refused() -> None:
    """A sweep has no direction in a meshed network, and none at all in an island."""
    lines = json.loads(TEXT)["lines"]
    with pytest.raises(NetworkError, match="loop"):
        radial_order(load_network(changed(lines=[*lines, {**lines[0], "from": 1, "to": 3}])))
    with pytest.raises(NetworkError, match="supplied"):
        radial_order(load_network(changed(lines=lines[1:])))


def test_a_second_line_between_the_same_buses_is_a_loop() -> None:
    """Parallel lines are told apart although their parameters are equal."""
    lines = json.loads(TEXT)["lines"]
    with pytest.raises(NetworkError, match="loop"):
        radial_order(load_network(changed(lines=[*lines, lines[0]])))


def test_the_feeder_is_in_sweep_order() -> None:
    """Loads and voltages are given in this order by everybody."""
    assert delivered_feeder().buses == radial_order(load_network(TEXT)).buses
