"""The dashboard, as a person sees it: a real browser loads the page and its events fill it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import BUNDLES, SEVEN, running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--timeout=8000",
    "--dump-dom",
]


@pytest.mark.timeout(90)
@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="needs chromium: apt-get install chromium")
async def test_the_page_shows_voltages_and_the_seven_modules(tmp_path: Path) -> None:
    """What the server sends is only half of it: the page's own script has to work."""
    managed = tmp_path / "managed"
    shutil.copytree(BUNDLES, managed, ignore=shutil.ignore_patterns("__pycache__"))
    (managed / "dashboard_interface" / "config.json").write_text(json.dumps({"port": 0}))
    async with running(managed) as node:
        await node.all_running(*SEVEN)
        found = re.search(r"the dashboard is at (http://\S+)", node.output())
        assert found is not None and CHROMIUM is not None
        browser = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'browser'}", found[1]]

        async def page_is_full() -> bool:
            run = asyncio.to_thread(subprocess.run, browser, capture_output=True, text=True, timeout=45)
            page = (await run).stdout
            modules = all(re.search(rf"{name}@[^<]*</th><td[^>]*>RUNNING", page) for name in SEVEN)
            return modules and re.search(r"[01]\.\d{4} pu, bus_\d+", page) is not None

        assert await eventually(page_is_full, timeout_s=40)
        assert node.stop() == 0
