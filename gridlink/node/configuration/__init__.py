"""The configuration of running modules: noticed when its file changes, taken or refused, kept for the next start."""

from gridlink.node.configuration.accepted import Accepted
from gridlink.node.configuration.configurator import Configurator
from gridlink.node.configuration.configured import Configured

__all__ = ["Accepted", "Configurator", "Configured"]
