"""Tests here need network namespaces, unless they say that one machine is enough."""

from __future__ import annotations

import pytest

from tests.integration.cluster.hosts import require_namespaces


@pytest.fixture
def namespaces() -> None:
    """Skips where no namespace can be made."""
    require_namespaces()
