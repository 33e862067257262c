"""Log records, warnings, exceptions, tasks and threads say whose they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Alone = Callable[..., str]
APP = """
import asyncio, logging, threading, warnings
import vendored
def use(): vendored.log()
def fail(): vendored.fail()
def warn(): warnings.warn("careful")
async def wait(): await asyncio.sleep(0)
def spawn(): return asyncio.get_running_loop().create_task(wait())
"""


@pytest.mark.parametrize("isolated", ["lib/", ""], ids=["isolated", "hosted plainly"])
def test_what_a_bundle_says_and_raises_is_named_after_it(isolated: str, alone: Alone) -> None:
    """With ten modules in a process, a line of an operator's log without a name is worth nothing."""
    alone(
        """
        import asyncio, io, logging, contextlib, warnings
        from nodemanager.isolation import naming
        one = load("guard", {"app/__init__.py": app, "lib/vendored.py".replace("lib/", LIB):
                   "import logging\\ndef log(): logging.getLogger('shared.name').warning('hello')\\n"
                   "def fail(): raise KeyError('x')"})
        said = []
        if not isolation.armed:
            logging.setLogRecordFactory(naming.named_log_record(logging.getLogRecordFactory()))
            warnings.formatwarning = naming.named_warning(warnings.formatwarning)
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.bundle)
        logging.getLogger("shared.name").addHandler(handler)
        one.target()
        logging.getLogger("shared.name").warning("the host's own")
        assert said == ["guard", ""], said

        app = one.call(sys.modules.get, "app")
        try:
            app.fail()
        except KeyError as error:
            assert naming.bundle_of_exception(error) == "guard"
        try:
            {}["x"]
        except KeyError as error:
            assert naming.bundle_of_exception(error) is None

        with contextlib.redirect_stderr(io.StringIO()) as printed, warnings.catch_warnings():
            warnings.simplefilter("default")
            app.warn()
        assert printed.getvalue().startswith("[guard] "), printed.getvalue()

        async def main():
            asyncio.get_running_loop().set_task_factory(naming.named_task)
            task = app.spawn()
            assert naming.bundle_of_task(task) == "guard" and task.get_name().startswith("guard: "), task
            own = asyncio.get_running_loop().create_task(asyncio.sleep(0))
            assert naming.bundle_of_task(own) is None and naming.current_bundle() is None
            await task
            await own
        asyncio.run(main())
        assert one.call(naming.current_bundle) == "guard"
        """.replace("LIB", repr(isolated)),
        app=APP,
    )
