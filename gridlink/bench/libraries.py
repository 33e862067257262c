"""`python -P libraries.py URL`: what a node's libraries take without Gridlink. Imports and connects; then only lives.

The names to import come on stdin, one a line. nats-py comes first and in the ordinary way, with all that it brings.
Prints `ready` once connected to the nats-server at URL, and ends at the end of stdin. Knows nothing of Gridlink.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module


async def main(url: str) -> None:
    """Connects by plain nats-py; returns at the end of stdin."""
    nats = import_module("nats")
    client = await nats.connect(url)
    await client.flush()
    ending = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ending.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ending.wait()
    await client.close()


def imported(names: list[str]) -> None:
    """Imports the names. One that can't be imported alone is reported on stderr."""
    import_module("nats")
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            sys.stderr.write(f"{name}: {error}\n")


if __name__ == "__main__":
    imported(list(iter(lambda: sys.stdin.readline().strip(), "")))
    asyncio.run(main(sys.argv[1]))
