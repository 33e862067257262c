"""Tests here need network namespaces, unless they say that one machine is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cluster.hosts import require_namespaces


@pytest.fixture
def namespaces() -> None:
    """Skips where no namespace can be made."""
    require_namespaces()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests start whole machines under load: they want a machine of their own, and run with the slow ones."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
