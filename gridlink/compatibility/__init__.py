"""Compatibility of two versions of a contract: what may be added, what breaks whom, and why. Pure."""

from gridlink.compatibility.comparison import broken_users, compare, compatible
from gridlink.compatibility.finding import BrokenUser, Concerns, Finding, Severity
from gridlink.compatibility.inclusion import misfits
from gridlink.compatibility.misfit import Kind, Misfit

__all__ = [
    "BrokenUser",
    "Concerns",
    "Finding",
    "Kind",
    "Misfit",
    "Severity",
    "broken_users",
    "compare",
    "compatible",
    "misfits",
]
