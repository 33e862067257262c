"""Whose code is running: a context variable that every task of an instance inherits, for logs and tracebacks."""

from __future__ import annotations

from contextvars import ContextVar

owner: ContextVar[str] = ContextVar("gridlink.owner", default="")
