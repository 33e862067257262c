"""The bundle voltage_guard: reports each crossing of a voltage limit, once."""

from voltage_guard.guard import VoltageGuard

__all__ = ["VoltageGuard"]
