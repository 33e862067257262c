"""Loading from many threads at once, with made-up libraries: quick enough for every run. Real ones elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Alone = Callable[..., str]
APP = """
import vendored.a, shared_name, json, decimal
from vendored import b
def use():
    import vendored.c
    assert vendored.a.NUMBER == b.NUMBER == vendored.c.NUMBER == shared_name.NUMBER
    return shared_name.NUMBER
"""


@pytest.mark.parametrize("seed", range(5))
def test_seventeen_bundles_load_and_unload_at_once(seed: int, alone: Alone) -> None:
    """Locks are a bundle's own: no bundle waits for another's library, none gets it."""
    alone(
        """
        import random
        sys.setswitchinterval(1e-5)
        seed, got, barrier = random.Random(int(sys.argv[1])), {}, threading.Barrier(17)
        def files(number):
            circle = f"import vendored.b\\nNUMBER = {number}"
            return {"app/__init__.py": app, "lib/shared_name.py": f"NUMBER = {number}", "lib/vendored/__init__.py": "",
                    "lib/vendored/a.py": circle, "lib/vendored/b.py": f"import vendored.a\\nNUMBER = {number}",
                    "lib/vendored/c.py": f"import concurrent.futures, vendored.a\\nNUMBER = vendored.a.NUMBER"}
        def go(number):
            barrier.wait()
            for _ in range(3):
                try:
                    one = isolation.load(root / str(number), "app:use", name=str(number))
                    got[number] = one.target()
                    one.unload(keep_lib=seed.random() < 0.5)
                except BaseException as error:
                    got[number] = error
                    return
        for number in range(17):
            bundle(str(number), files(number))
        threads = [threading.Thread(target=go, args=(number,)) for number in range(17)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert got == {number: number for number in range(17)}, got
        """,
        str(seed),
        app=APP,
    )
