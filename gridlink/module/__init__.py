"""The module API, and what runs one module."""

from gridlink.module.decorators import every, request, subscribe
from gridlink.module.module import Module

__all__ = ["Module", "every", "request", "subscribe"]
