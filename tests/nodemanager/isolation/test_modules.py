"""The dispatching `sys.modules`: who asks decides, by every way there is to ask."""

from __future__ import annotations

from collections.abc import Callable

Alone = Callable[..., str]


def test_the_host_gets_its_own_library_while_a_bundle_calls_it(alone: Alone) -> None:
    """Host code that imports lazily, called by a bundle that vendors the same name, must not get the bundle's."""
    alone("""
        bundle("site", {"hostlib/__init__.py": "", "shared.py": "WHOSE = 'host'", "hostlib/lazy.py":
               "def whose():\\n    import shared, importlib\\n    assert importlib.import_module('shared') is shared\\n"
               "    return shared.WHOSE"})
        sys.path.append(str(root / "site"))
        one = load("one", {"app/__init__.py": '''
import shared, hostlib.lazy
def use(): return shared.WHOSE, hostlib.lazy.whose()
''', "lib/shared.py": "WHOSE = 'bundle'"}, visible=["hostlib"])
        assert one.target() == ("bundle", "host")
        import shared
        assert shared.WHOSE == "host" and sys.modules["shared"] is shared
        one.unload()
        assert sys.modules["shared"] is shared and importlib.import_module("shared") is shared
    """)


FOR_THE_BUNDLE_APP = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Inner:
    value: VALUE_TYPE
@dataclass
class Outer:
    inner: Inner
def use(decode): return decode(Outer)
"""


def test_host_code_resolves_the_annotations_of_a_bundles_class_for_the_bundle(alone: Alone) -> None:
    """gridlink makes schemas of bundles' dataclasses; typing and msgspec look their modules up in `sys.modules`."""
    alone(
        """
        import msgspec, typing
        def decode(cls):
            assert typing.get_type_hints(cls)["inner"].__module__ == "app"
            return msgspec.json.decode(b'{"inner": {"value": "7"}}', type=cls, strict=False).inner.value
        bundles = [load(kind, {"app/__init__.py": app.replace("VALUE_TYPE", kind)}) for kind in ("int", "str")]
        assert [one.target(decode) for one in bundles] == [7, "7"]
        assert [one.call(decode, one.call(sys.modules.get, "app").Outer) for one in bundles] == [7, "7"]
    """,
        app=FOR_THE_BUNDLE_APP,
    )


WHAT_IT_LIKES_APP = """
import sys, types, copy
def use(value):
    sys.modules["made_up"] = sys.modules["app.made"] = module = types.ModuleType("made_up")
    module.value = value
    import made_up, app.made
    assert made_up.value == sys.modules["app.made"].value == value and sys.modules.get("made_up") is module
    names = set(sys.modules)
    assert {"app", "made_up", "json", "sys"} <= names and "made_up" in sys.modules.copy()
    assert len(sys.modules) == len(names)
    assert names == set(sys.modules.keys()) == {name for name, _ in sys.modules.items()} == set(dict(sys.modules))
    assert "click" not in names and sys.modules.setdefault("made_up", 1) is module
    assert sys.modules.pop("app.made") is module and sys.modules.pop("app.made", 5) == 5
    del sys.modules["made_up"]
    assert "made_up" not in sys.modules and sys.modules.get("made_up", 7) == 7
    sys.modules.update(made_up=module)
    sys.modules["blocked"] = None
    try:
        import blocked
    except ModuleNotFoundError:
        return value
"""


def test_the_middleware_finds_a_bundles_class_also_where_the_host_has_a_package_of_that_name(alone: Alone) -> None:
    """A developer's tests import the package that the node then loads as a bundle."""
    alone(
        """
        import msgspec
        from gridlink.contract import __file__ as contract
        sys.path.insert(0, str(bundle("site", {"app/__init__.py": app.replace("KIND", "str")})))
        import app as hosts
        sys.path.pop(0)
        one = load("one", {"app/__init__.py": app.replace("KIND", "int")})
        def decode(cls):
            return msgspec.json.decode(b'{"inner": {"value": "7"}}', type=cls, strict=False).inner.value
        assert (one.target(decode), decode(hosts.Outer), one.target(decode)) == (7, "7", 7)
        hints = "import typing\\ndef hints(cls): return typing.get_type_hints(cls)"
        as_gridlink_does = compile(hints, contract, "exec")
        exec(as_gridlink_does, gridlink := {"__name__": "gridlink.contract"})
        assert one.target(gridlink["hints"])["inner"] is one.target.__globals__["Inner"]
        assert gridlink["hints"](hosts.Outer)["inner"] is hosts.Inner
        """,
        app="""
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Inner:
    value: KIND
@dataclass
class Outer:
    inner: Inner
    def method(self): pass
def use(decode): return decode(Outer)
""",
    )


def test_a_bundle_can_do_with_sys_modules_what_it_likes(alone: Alone) -> None:
    """Libraries set, replace, delete and iterate; none of it may reach others."""
    alone(
        """
        import json, click
        one, two = load("one", {"app/__init__.py": app}), load("two", {"app/__init__.py": app})
        assert (one.target(1), two.target(2), one.target(3)) == (1, 2, 3)
        assert "made_up" not in sys.modules and "blocked" not in sys.modules and "app" not in list(sys.modules)
        assert "click" in sys.modules and sys.modules["json"] is json
    """,
        app=WHAT_IT_LIKES_APP,
    )


WORK_FOR_IT_APP = """
import asyncio, pickle, threading, concurrent.futures
class Thing: pass
async def use():
    data, got, loop = pickle.dumps(Thing()), [], asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(lambda pickled: got.append(pickle.loads(pickled)), data)
    loop.call_soon(loads_into(got), data)
    loop.call_later(0.001, done.set_result, None)
    got.append(await asyncio.to_thread(pickle.loads, data))
    got.append(await loop.run_in_executor(None, pickle.loads, data))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        got += pool.map(pickle.loads, [data])
    thread = threading.Thread(target=loads_into(got), args=(data,))
    thread.start()
    thread.join()
    await done
    assert thread.name.startswith("{}: Thread-"), thread.name
    return {type(thing) is Thing for thing in got}, len(got)
def loads_into(got):
    import functools
    class Into(list): pass
    return functools.partial(map_into, got)
def map_into(got, data): got.extend(map(pickle.loads, [data]))
"""


def test_tasks_and_threads_without_a_frame_of_the_bundle_still_work_for_it(alone: Alone) -> None:
    """`call_soon(pickle.loads, data)` has the stdlib and the host on its stack, and no bundle."""
    alone(
        """
        import asyncio
        bundles = [load(name, {"app/__init__.py": app.replace("{}", name)}) for name in ("one", "two")]
        async def main():
            async with asyncio.TaskGroup() as tasks:
                made = [tasks.create_task(one.target(), context=one.context()) for one in bundles]
            assert [task.result() for task in made] == [({True}, 6)] * 2, [task.result() for task in made]
            loop, done = asyncio.get_running_loop(), []
            import pickle
            for one in bundles:  # stdlib frames alone, told apart by the context
                data = one.call(pickle.dumps, one.call(sys.modules.get, "app").Thing())
                future = loop.create_future()
                loop.call_soon(future.set_result, None, context=one.context())
                await future
                spawned = loop.create_task(asyncio.to_thread(pickle.loads, data), context=one.context())
                assert type(await spawned) is one.call(sys.modules.get, "app").Thing
        asyncio.run(main())
    """,
        app=WORK_FOR_IT_APP,
    )


THAT_BUNDLE_ALONE_APP = """
import sys, importlib.util, importlib.abc
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.util.spec_from_loader(name, Loader()) if name == "app.virtual" else None
class Loader(importlib.abc.Loader):
    def create_module(self, spec): return None
    def exec_module(self, module): module.value = VALUE
sys.meta_path.append(Finder)
def use():
    import app.virtual
    return app.virtual.value
"""


def test_finders_that_a_bundle_adds_serve_that_bundle_alone(alone: Alone) -> None:
    """six puts one on `sys.meta_path`; two copies of six would answer for each other."""
    alone(
        """
        before = list(sys.meta_path)
        bundles = [load(f"b{n}", {"app/__init__.py": app.replace("VALUE", str(n)), "lib/x.py": ""}) for n in (1, 2)]
        assert [one.target() for one in bundles] == [1, 2] and sys.meta_path == before
    """,
        app=THAT_BUNDLE_ALONE_APP,
    )


def test_names_that_c_code_writes_into_the_real_dict_are_swept_to_their_bundle(alone: Alone) -> None:
    """Cython stores its modules with PyDict_SetItemString, past every method."""
    alone("""
        import ctypes
        from nodemanager.isolation import extension, modules
        one = load("one", {"app/__init__.py": "use = 1", "lib/x.py": ""})
        two = load("two", {"app/__init__.py": "def use(): from app.native import X; return X", "lib/x.py": ""})
        module = types.ModuleType("app.native")
        module.X = module
        def as_cython_does(argument):
            real, value = ctypes.py_object(sys.modules), ctypes.py_object(module)
            ctypes.pythonapi.PyDict_SetItemString(real, b"app.native", value)
            assert two.call(sys.modules.get, "app.native") is module and one.call(sys.modules.get, "app.native") is None
            assert type(sys.modules) is modules.StrictModules and sys.modules["json"] is argument
        import json, click
        extension._initialise(two.space, as_cython_does, json)
        assert type(sys.modules) is modules.Modules and not dict.__contains__(sys.modules, "app.native")
        assert two.target() is module
    """)


def test_disarming_gives_back_the_very_functions_that_were_there(alone: Alone) -> None:
    """A test, or a node that has no isolated bundle left, must find the interpreter as it was."""
    alone("""
        import atexit, logging, warnings, importlib._bootstrap as bootstrap, concurrent.futures.thread, click
        def present():
            return [bootstrap._find_spec, bootstrap._get_module_lock, threading.Thread.start, atexit.register,
                    warnings.formatwarning,                     logging.Logger.addHandler,
                    logging.getLogRecordFactory(),
                    concurrent.futures.thread.ThreadPoolExecutor.submit,
                    vars(importlib.machinery.PathFinder)["find_distributions"], list(sys.meta_path)]
        before, modules = present(), dict(sys.modules)
        load("one", {"app/__init__.py": "use = 1", "lib/x.py": ""})
        assert present() != before and sys.modules["click"] is click and not dict.__contains__(sys.modules, "click")
        isolation.close()
        assert present() == before and type(sys.modules) is dict and modules.items() <= sys.modules.items()
    """)
