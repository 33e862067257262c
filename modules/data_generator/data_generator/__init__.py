"""The bundle data_generator: replays measured days on a real low-voltage grid with an on-load tap changer."""

from data_generator.generator import DataGenerator

__all__ = ["DataGenerator"]
