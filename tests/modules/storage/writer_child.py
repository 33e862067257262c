"""A process for the crash tests: adds measurements and prints each id when it was acknowledged, unbuffered.

Arguments: folder, number of writers, measurements a writer, first id. It ends without closing the store.
"""

import asyncio
import os
import sys
from pathlib import Path

from storage.sample import Row
from storage.store import Store


async def _write(store: Store, ids: range) -> None:
    for number in ids:
        await store.add([Row("p", float(number), number * 0.5)])
        os.write(1, b"%d\n" % number)


async def _main(folder: str, writers: int, each: int, first: int) -> None:
    store = await Store(Path(folder) / "measurements.db").open()
    await store.create_data_point("p", "kW")
    async with asyncio.TaskGroup() as tasks:
        for writer in range(writers):
            start = first + writer * each
            tasks.create_task(_write(store, range(start, start + each)))
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
