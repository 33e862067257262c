"""A real browser for tests, driven over the W3C WebDriver protocol by chromedriver."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

DRIVER = shutil.which("chromedriver")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One browser window."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, session

    def open(self, url: str) -> None:
        """Loads a page."""
        self._post("url", {"url": url})

    def text(self) -> str:
        """What a person can read on the page."""
        return str(self.run("return document.body.innerText"))

    def run(self, script: str) -> Any:
        """What a script on the page returns."""
        return self._post("execute/sync", {"script": script, "args": []})

    def _post(self, what: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(f"/session/{self._session}/{what}", json=body)
        answer.raise_for_status()
        return answer.json()["value"]


@contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """A headless Chromium with a profile of its own, ended at the end."""
    if DRIVER is None:
        raise RuntimeError("chromedriver isn't there")
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        port = next(
            found[1] for line in driver.stdout or () if (found := re.search(r"successfully on port (\d+)", line))
        )
        where = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=where, timeout=40, trust_env=False) as client:
            options = {"args": [*QUIET, f"--user-data-dir={directory}"]}
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            session = client.post("/session", json=wanted).raise_for_status().json()["value"]["sessionId"]
            yield Browser(client, session)
            client.delete(f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait(timeout=10)
        if driver.stdout is not None:
            driver.stdout.close()
