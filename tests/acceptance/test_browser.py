"""The dashboard, as a person sees it: a real browser loads the page, its events fill it, and its button works."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.browser import DRIVER, browser
from tests.acceptance.running import BUNDLES, SEVEN, running


@pytest.mark.timeout(90)
@pytest.mark.skipif(DRIVER is None and "CI" not in os.environ, reason="needs Debian's chromium-driver")
async def test_the_page_shows_voltages_and_modules_and_moves_the_tap(tmp_path: Path) -> None:
    """What the server sends is only half of it: the page's own script has to work."""
    managed = tmp_path / "managed"
    shutil.copytree(BUNDLES, managed, ignore=shutil.ignore_patterns("__pycache__"))
    (managed / "dashboard_interface" / "config.json").write_text(json.dumps({"port": 0}))
    async with running(managed) as node:
        await node.all_running(*SEVEN)
        found = re.search(r"the dashboard is at (http://\S+)", node.output())
        assert found is not None
        with browser(tmp_path / "browser") as window:
            await asyncio.to_thread(window.open, found[1])

            async def page_shows(pattern: str) -> bool:
                return re.search(pattern, await asyncio.to_thread(window.text)) is not None

            for name in SEVEN:
                await eventually(partial(page_shows, rf"{name}@\S+\s+RUNNING"), timeout_s=15)
            await eventually(lambda: page_shows(r"[01]\.\d{4} pu, bus_\d+"), timeout_s=15)
            set_tap = "document.querySelector('input[type=number]').value = 1; document.querySelector('button').click()"
            await asyncio.to_thread(window.run, set_tap)
            await eventually(lambda: page_shows(r"Tap position\s+1 \(1 step"), timeout_s=15)
        assert (await node.sender.request("oltc", "getTapPosition"))["position"] == 1
        assert node.stop() == 0
