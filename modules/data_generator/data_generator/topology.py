"""The radial order of a network: every bus comes after the bus that feeds it, the LV busbar first."""

from __future__ import annotations

from msgspec import Struct

from data_generator.network import Line, Network, NetworkError


class RadialOrder(Struct, frozen=True):
    """`buses[i]` is fed by `lines[i]` from `buses[parents[i]]`, and parents[i] < i.

    Entry 0 is the LV busbar: parent -1, no line.
    """

    buses: tuple[int, ...]
    parents: tuple[int, ...]
    lines: tuple[Line | None, ...]


def radial_order(network: Network) -> RadialOrder:
    """Order a network's buses outwards from the LV busbar, breadth first.

    Raises NetworkError when the lines close a loop or leave a bus without supply: then a sweep has no
    direction.
    """
    lines_at: dict[int, list[Line]] = {bus: [] for bus in network.buses}
    for line in network.lines:
        lines_at[line.from_bus].append(line)
        lines_at[line.to_bus].append(line)
    buses, parents = [network.lv_busbar], [-1]
    order: list[Line | None] = [None]
    for index, bus in enumerate(buses):  # grows while it is walked
        for line in lines_at[bus]:
            if line is order[index]:
                continue
            far = line.to_bus if line.from_bus == bus else line.from_bus
            if far in buses:
                raise NetworkError(f"network.lines: expected a radial network, came a loop at bus {far}; open a line")
            buses.append(far)
            parents.append(index)
            order.append(line)
    missing = sorted(set(network.buses) - set(buses))
    if missing:
        raise NetworkError(f"network.lines: expected every bus supplied, came none for {missing}; add the line")
    return RadialOrder(tuple(buses), tuple(parents), tuple(order))
