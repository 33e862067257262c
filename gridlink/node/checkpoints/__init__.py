"""Checkpoints: what a module's `snapshot()` gave, kept in a file, so that its next instance goes on from there."""

from gridlink.node.checkpoints.form import Checkpoint
from gridlink.node.checkpoints.keeper import Keeper
from gridlink.node.checkpoints.store import States

__all__ = ["Checkpoint", "Keeper", "States"]
