"""The bus: one protocol, kept by an in-process bus and by one over NATS."""

from gridlink.bus.protocol import Answer, Bus, Receiver, Subscription

__all__ = ["Answer", "Bus", "Receiver", "Subscription"]
