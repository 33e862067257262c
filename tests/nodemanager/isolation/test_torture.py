"""The 45 import cases of torture/, in several bundles at once. Two can't pass: see `CANT`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

TORTURE = Path(__file__).parent / "torture"
CANT = {
    "lazy_loader",  # fails in plain Python too
    "mp_spawn",  # a spawned child is a new interpreter, without bundles
}
CASES = """
import json
if len(sys.argv) > 2:
    host = types.ModuleType("tp")
    host.A1, host.__path__ = "HOST", []
    sys.modules["tp"] = host
loaded = [isolation.load(Path(sys.argv[1]), "tp.tests:R", name=name) for name in ("first", "second")]
answers = {}
for bundle_ in loaded:
    bundle_.target.pop("mp_spawn")
    for case, run in bundle_.target.items():
        try:
            run()
        except Exception as error:
            answers[f"{bundle_.name} {case}"] = f"{type(error).__name__}: {error}"
        else:
            answers[f"{bundle_.name} {case}"] = "ok"
if len(sys.argv) > 2:
    import tp
    answers["host"] = "ok" if tp is host and sys.modules["tp"].A1 == "HOST" else "the host lost its module"
print(json.dumps(answers))
"""


@pytest.mark.parametrize("host", [[], ["conflict"]], ids=["no host library", "a host library of the same name"])
def test_bundles_import_as_in_an_interpreter_of_their_own(host: list[str], alone: Callable[..., str]) -> None:
    """Natural names are the promise: what a library does with imports must not notice the isolation."""
    answers = json.loads(alone(CASES, str(TORTURE), *host))
    assert {case for case, answer in answers.items() if answer != "ok"} == {"first lazy_loader", "second lazy_loader"}
    assert len(answers) == 2 * 44 + len(host)
