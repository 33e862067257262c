"""Two versions of a bundle, packed once."""

from __future__ import annotations

import pytest

from tests.appmanager.packed.making import files_of, packed
from tests.appmanager.provisioning.stories import Bundles


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """By version: the file, and its digest."""
    return {v: packed(tmp_path_factory.mktemp("bundle"), files_of(v)) for v in ("1.0.0", "2.0.0")}
