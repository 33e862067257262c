"""`documented.py HEADING…`: prints the commands that docs/board.md has under these headings, as a script."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "board.md"


def commands(heading: str, page: str) -> str:
    """The `sh` blocks between `## HEADING` and the next heading. Raises ValueError where there is none."""
    found: list[str] = []
    here = inside = False
    for line in page.splitlines():
        if line.startswith("## "):
            here = line == f"## {heading}"
        elif line.startswith("```"):
            inside = here and line == "```sh"
        elif inside:
            found.append(line)
    if not found:
        raise ValueError(f"{PAGE}: there are no commands under `## {heading}`")
    return "\n".join(found) + "\n"


def main() -> None:
    """Prints a script that ends at the first command that fails."""
    page = PAGE.read_text()
    print("set -eux")
    for heading in sys.argv[1:]:
        print(f"# {heading}\n{commands(heading, page)}", end="")


if __name__ == "__main__":
    main()
