"""Unloading takes everything out again that a bundle left in the interpreter, and nothing of others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Alone = Callable[..., str]

LEAVES = """
import abc, atexit, copyreg, ctypes, linecache, logging, threading, traceback, typing, warnings, weakref
class Category(UserWarning): pass
class Handler(logging.Handler): pass
class Filter(logging.Filter): pass
class Structure(ctypes.Structure): pass
class Thing: pass
warnings.simplefilter("ignore", Category)
logging.getLogger("iso.noisy").addHandler(logging.NullHandler())
logging.getLogger("iso.noisy").addHandler(Handler())
logging.getLogger("iso.noisy").addFilter(Filter())
logging.getLogger().addHandler(Handler())
copyreg.pickle(Thing, str)
ctypes.POINTER(Structure)
typing.Optional[Thing], typing.Dict[str, Thing]
def said(): print("atexit ran")
def unsaid(): print("atexit must not run")
atexit.register(said)
atexit.register(unsaid)
atexit.unregister(unsaid)
alive = weakref.ref(Thing)
def use():
    try:
        raise ValueError
    except ValueError:
        traceback.format_exc()
    warnings.warn("once", Category)
    return alive
"""


@pytest.mark.parametrize("files", [{}, {"lib/x.py": ""}], ids=["hosted plainly", "isolated"])
def test_nothing_of_an_unloaded_bundle_stays(files: dict[str, str], alone: Alone) -> None:
    """One leaked class keeps its module, its library and its bytecode alive at each update."""
    printed = alone(
        """
        import atexit, copyreg, ctypes, linecache, logging, warnings
        def left():
            return [len(warnings.filters), len(copyreg.dispatch_table), len(ctypes._pointer_type_cache),
                    logging.root.handlers[:],
                    [path for path in [*linecache.cache, *sys.path_importer_cache] if path.startswith(str(root))],
                    logging.getLogger("iso.noisy").filters,
                    [h for h in logging.getLogger("iso.noisy").handlers if type(h).__module__ == "app"]]
        before = left()
        one = load("one", {"app/__init__.py": app, **FILES})
        alive = one.target()
        assert alive() and left() != before
        one.unload()
        assert left() == before, left()
        assert alive() is None, gc.get_referrers(alive())
        print("unloaded")
        """.replace("FILES", repr(files)),
        app=LEAVES,
    )
    assert printed.splitlines() == (["atexit ran", "unloaded"] if files else ["unloaded"])


def test_unloading_one_bundle_leaves_those_of_the_same_names_alone(alone: Alone) -> None:
    """Names can't tell two copies of a library apart: what defined the thing decides."""
    alone(
        """
        import logging, warnings
        bundles = [load(name, {"app/__init__.py": app, "lib/x.py": ""}) for name in ("one", "two")]
        handlers, filters = len(logging.getLogger("iso.noisy").handlers), len(warnings.filters)
        bundles[0].unload()
        assert len(logging.getLogger("iso.noisy").handlers) == handlers / 2 and len(warnings.filters) == filters - 1
        assert bundles[1].target()() is not None
        bundles[1].unload()
        """,
        app=LEAVES,
    )


RUNS = "import vendored\nRUNS = vendored.runs.append(1)\ndef use(): return len(vendored.runs)"


def test_a_restart_with_an_unchanged_lib_runs_the_bundles_own_package_alone(alone: Alone) -> None:
    """The libraries are most of the start-up time, and the native ones don't load twice."""
    alone(
        """
        files = {"app/__init__.py": app, "lib/vendored/__init__.py": "runs = []", "lib/vendored/late.py": "X = 1"}
        one = load("one", files)
        assert one.target() == 1
        one.unload(keep_lib=True)
        one = load("one", files)
        assert one.target() == 2
        beside = load("one", {**files, "app/__init__.py": app + "\\nNEW = 1"})
        assert beside.target() == one.target() == 3
        one.unload()
        assert beside.target() == 3 and load("other", files).target() == 1
        beside.unload(keep_lib=True)
        changed = load("one", {**files, "lib/vendored/more.py": ""})
        assert changed.target() == 1
        changed.unload()
        assert load("one", files).target() == 1
        """,
        app=RUNS,
    )


def test_a_kept_lib_works_for_the_bundle_that_calls_it(alone: Alone) -> None:
    """Old and new version share the layer for a moment; pickle in it must find the classes of whoever calls."""
    alone(
        """
        lib = {"lib/vendored.py": "import pickle, sys\\ndef again(thing): return pickle.loads(pickle.dumps(thing))\\n"
               "def module_of(thing): return sys.modules[type(thing).__module__]"}
        old = load("one", {"app/__init__.py": app, **lib})
        new = load("one", {"app/__init__.py": app.replace("OLD", "NEW"), **lib})
        assert old.space.lib is new.space.lib
        assert (old.target(), new.target(), old.target()) == ("OLD", "NEW", "OLD")
        """,
        app="""
import sys, vendored
class Thing: whose = "OLD"
def use():
    assert type(vendored.again(Thing())) is Thing and vendored.module_of(Thing()) is sys.modules[__name__]
    return vendored.again(Thing()).whose
""",
    )


def test_a_bundle_whose_directory_has_moved_goes_on(alone: Alone) -> None:
    """An update is staged, loaded and then renamed into place; what it imports later must still be found."""
    alone("""
        one = load("staged", {"app/__init__.py":
                   "def use():\\n    import app.late, vendored.late\\n"
                   "    return app.late.__file__, vendored.late.__file__",
                   "app/late.py": "", "lib/vendored/__init__.py": "", "lib/vendored/late.py": ""})
        (root / "staged").rename(root / "installed")
        one.moved(root / "installed")
        assert all(path.startswith(str(root / "installed")) for path in one.target())
        again = load("installed", {}, entry="app:use")
        assert again.target()
    """)


def test_a_thread_that_outlives_its_bundle_is_named_and_finds_nothing_any_more(alone: Alone) -> None:
    """It can't be stopped from outside; it must not load the bundle's code again behind everybody's back."""
    alone(
        """
        import logging
        said, go = [], threading.Event()
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        logging.getLogger("nodemanager.isolation").addHandler(handler)
        one = load("one", {"app/__init__.py": app, "app/late.py": ""})
        second = load("two", {"app/__init__.py": app, "app/late.py": ""})
        found = []
        thread = one.target(go, found)
        one.unload()
        go.set()
        thread.join()
        assert found == [ModuleNotFoundError], found
        assert len(said) == 1 and "one: Thread-" in said[0], said
        """,
        app="""
import threading
def use(go, found):
    def wait():
        go.wait(30)
        try:
            import app.late
        except ImportError as error:
            found.append(type(error))
    thread = threading.Thread(target=wait)
    thread.start()
    return thread
""",
    )


def test_an_atexit_callback_that_fails_does_not_stop_the_unload(alone: Alone) -> None:
    """Clean-up goes on past an error, and tells it."""
    alone("""
        import logging
        said = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        logging.getLogger("nodemanager.isolation").addHandler(handler)
        one = load("one", {"app/__init__.py": "import atexit\\natexit.register(lambda: 1 / 0)\\nuse = 1",
                   "lib/x.py": ""})
        one.unload()
        assert len(said) == 1 and "one" in said[0], said
    """)


def test_bundles_that_are_unloaded_together_are_collected_together(alone: Alone) -> None:
    """A collection holds the loop for tens of milliseconds: a node that ends a thousand modules needs one, and soon."""
    alone(
        """
        import asyncio
        from gridlink.node.bundle import read_bundle
        from nodemanager import loader
        async def main():
            ours, alive, collections = loader.Loader(), [], []
            for name in ("one", "two", "three"):
                bundle(name, {f"{name}/__init__.py": app, "module.json":
                              '{"name": "%s", "version": "1.0.0", "entry": "%s:Use"}' % (name, name)})
                ours.load(read_bundle(root / name))
                alive.append(sys.modules[name].alive)
            gc.callbacks.append(lambda phase, info: collections.append(info["generation"]) if phase == "stop" else None)
            for name in ("one", "two", "three"):
                ours.unload(name)
            assert collections.count(2) == 0, collections
            assert all(one() is not None for one in alive)
            async with asyncio.timeout(10):
                while any(one() is not None for one in alive):
                    await asyncio.sleep(0.05)
            assert collections.count(2) == 1, collections
        asyncio.run(main())
        """,
        app="""
import weakref
from gridlink import Module
class Use(Module[None]):
    "Does nothing."
alive = weakref.ref(Use)
""",
    )


def test_exit_callbacks_are_looked_for_only_where_atexit_was_given_some(alone: Alone) -> None:
    """The look goes over all objects: for a thousand modules that end, as long as all else together."""
    alone(
        """
        from nodemanager.isolation import cleanup
        looks = []
        cleanup.gc = types.SimpleNamespace(get_objects=lambda: looks.append(1) or gc.get_objects())
        load("plain", {"mine/__init__.py": "use = 1"}, entry="mine:use").unload()
        assert looks == []
        load("other", {"theirs/__init__.py": app}, entry="theirs:use").unload()
        assert looks == [1]
        """,
        app="import atexit\ndef use(): print('this must not be said')\natexit.register(use)",
    )
