"""The files of a new bundle. Pure."""

from __future__ import annotations

_MODULE = '''"""{title}: says what this module is for."""

from __future__ import annotations

from dataclasses import dataclass

from gridlink import Module, every, request


@dataclass(frozen=True)
class Config:
    """Read from config.json; what is not in there is as it is here."""

    greeting: str = "hello"


@dataclass(frozen=True)
class Greeting:
    """The reply of `greet`."""

    text: str
    served: int


class {cls}(Module[Config]):
    """Greets."""

    roles = ("{name}",)

    def __init__(self) -> None:
        self._served = 0

    @request("greet")
    async def greet(self, whom: str) -> Greeting:
        """A greeting, and how many there have been."""
        self._served += 1
        return Greeting(f"{{self.config.greeting}}, {{whom}}", self._served)

    @every(seconds=3600)  # of site time
    async def report(self) -> None:
        """Says what was done."""
        self.log.info("%d greetings so far", self._served)
'''

_TEST = '''"""{cls} does what it is asked."""

from __future__ import annotations

from gridlink import testing

from {name} import {cls}


async def test_it_greets_as_it_is_configured() -> None:
    """The configuration reaches the handler."""
    async with testing.running({cls}, config={{"greeting": "good day"}}) as site:
        assert await site.request("{name}", "greet", "grid") == {{"text": "good day, grid", "served": 1}}
'''

_MANIFEST = """{{
  "name": "{name}",
  "version": "0.1.0",
  "entry": "{name}:{cls}",
  "requires": {{"python": ">=3.11", "gridlink": ">=0.1,<2"}}
}}
"""

_README = """# {name}

Says what this module is for.

| | |
|---|---|
| role `{name}` | `greet`: str -> Greeting {{text, served}} |

Config: `greeting` "hello".

```sh
pytest .                                  # its test
gridlink run .                            # join it to a running site; it is loaded again on save
gridlink call {name} greet '"grid"'
```

To keep it, move this directory into the node's managed directory and start the node again.
"""

_PROJECT = """[tool.pytest.ini_options]
pythonpath = ["."]
addopts = ["--import-mode=importlib"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"

[tool.mypy]
strict = true
files = ["{name}", "tests"]

[tool.ruff]
line-length = 120
target-version = "py311"
"""


def bundle_files(name: str) -> dict[str, str]:
    """The files of a bundle of that name: path and text."""
    cls = "".join(word.capitalize() for word in name.split("_"))
    if cls in ("Config", "Greeting", "Module"):
        cls += "Module"
    words = {"name": name, "cls": cls, "title": name}
    return {
        "module.json": _MANIFEST.format(**words),
        "config.json": "{}\n",
        f"{name}/__init__.py": _MODULE.format(**words),
        f"{name}/py.typed": "",
        f"tests/test_{name}.py": _TEST.format(**words),
        "README.md": _README.format(**words),
        "pyproject.toml": _PROJECT.format(**words),
    }
