"""Loads bundles' classes into this interpreter, each with its own package and libraries."""

from __future__ import annotations

from typing import Any

from gridlink.node.bundle import Bundle, load_alone


class Loader:
    def load(self, bundle: Bundle) -> Any:
        return load_alone(bundle)

    def unload(self, name: str) -> None:
        return None
