"""The site file: read into proxies in its order, or refused with the file, what was expected and what came."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridlink.bus import wire
from gridlink.errors import ConfigInvalid, GridlinkError, LimitExceeded, ProxyFailed, Refused
from gridlink.message import Message
from gridlink.proxies import Proxy, incoming, outgoing
from gridlink.proxies.site import SiteFile, read_site_file
from tests.gridlink.proxies.place import Heard, Place, asked

KEY = bytes(range(32)).hex()


def site(managed: Path, *proxies: Any, **fields: Any) -> SiteFile:
    """The site file with these proxies, written and read."""
    path = managed / "site.json"
    path.write_text(json.dumps({"proxies": proxies, **fields}))
    return read_site_file(path)


def made(file: SiteFile, bundle: Path, place: Place | None = None) -> tuple[Proxy, ...]:
    """The proxies of an instance of the bundle."""
    return file.proxies((place or Place()).around(), bundle)


def bundle(managed: Path, name: str, code: str) -> Path:
    """A bundle whose package has a module `proxies` with this code."""
    package = managed / name / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "proxies.py").write_text(f"from gridlink import Proxy, Refused\n{code}")
    return managed / name


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A managed directory whose bundles can be imported, as the NodeManager makes them."""
    managed = tmp_path / "managed"
    managed.mkdir()
    for name in ("guard_x", "meter_x"):
        bundle(managed, name, PROXY)
        monkeypatch.syspath_prepend(str(managed / name))
    return managed


PROXY = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Settings:
    word: str

class Append(Proxy):
    settings_type = Settings

    def __init__(self, settings):
        self.word = settings.word.encode()

    def outgoing(self, call):
        async def appended(message):
            return await call(message.with_payload(message.payload + self.word)) + b"<" + self.word
        return appended

    incoming = outgoing

class Raises(Proxy):
    def incoming(self, call):
        async def raises(message):
            if message.type == "before":
                raise KeyError("before")
            reply = await call(message)
            if message.type == "after":
                raise KeyError("after")
            return reply
        return raises

class Broken(Proxy):
    def __init__(self):
        raise OSError("no disk")

class BrokenHook(Proxy):
    def outgoing(self, call):
        raise OSError("no disk")

NotAProxy = dict
"""


def test_an_empty_file_has_no_proxies(tmp_path: Path) -> None:
    """It may be there before anything is configured."""
    (tmp_path / "site.json").write_text("{}")
    assert made(read_site_file(tmp_path / "site.json"), tmp_path) == ()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, r"proxies\[0\]: expected 'proxy' to name one \(access, encryption, limits\), got None"),
        ({"proxy": "limit"}, r"proxies\[0\] \(limit\): unknown proxy 'limit'; expected access, encryption, limits, or"),
        ({"proxy": "tracing"}, "tracing is always there: remove the entry"),
        ({"proxy": "limits"}, "expected messages_per_s, bytes_per_s or max_payload_bytes, got none"),
        ({"proxy": "limits", "messages": 1}, "unknown setting 'messages'; expected messages_per_s"),
        ({"proxy": "limits", "messages_per_s": 0}, r"Expected 'float' > 0.0 - at '\$.messages_per_s', got 0"),
        ({"proxy": "limits", "messages_per_s": "9"}, r"Expected 'float . null', got 'str' - at '\$.messages_per_s'"),
        ({"proxy": "limits", "messages_per_s": 1, "for": "oltc"}, "for: Expected 'object', got 'str'; expected role"),
        (
            {"proxy": "limits", "messages_per_s": 1, "for": {"roles": "x"}},
            "unknown field 'roles'; expected role, topic",
        ),
        ({"proxy": "limits", "messages_per_s": 1, "for": {"role": "a.b"}}, "for: role: expected a name of letters"),
        ({"proxy": "access"}, "Object missing required field 'policy'"),
        ({"proxy": "access", "policy": [{"from": "a", "to": "oltc"}]}, "to: expected role NAME, .*, got 'oltc'"),
        ({"proxy": "access", "policy": [{"from": "a", "to": "*", "type": []}]}, "unknown field 'type'"),
        ({"proxy": "encryption"}, "expected either key_file or key_env, got neither"),
        ({"proxy": "encryption", "key_file": "k", "key_env": "K"}, "expected either key_file or key_env, got both"),
        ({"proxy": "encryption", "key_file": "nokey"}, "expected a key in the file .*nokey, got: No such file"),
        ({"proxy": "nowhere.proxies:X"}, "expected the package 'nowhere' in a bundle of .*, or installed"),
        ({"proxy": "json:JSONDecoder"}, "expected a class derived from gridlink.Proxy in json:JSONDecoder, got"),
        ({"proxy": "json.nothing:X"}, "json.nothing can't be imported: ModuleNotFoundError"),
        (7, "Expected 'object', got 'int'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_file_and_entry(tmp_path: Path, entry: Any, reason: str) -> None:
    """An operator reads this sentence over a slow link, and must know what to change."""
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        site(tmp_path, entry)
    assert str(tmp_path / "site.json") in str(caught.value)


def test_a_file_that_is_gone_or_no_json_is_refused(tmp_path: Path) -> None:
    """Without its file a process would run without encryption: it must not start."""
    path = tmp_path / "site.json"
    with pytest.raises(ConfigInvalid, match=r"site.json: expected the site's proxies, got: No such file"):
        read_site_file(path)
    path.write_text('{"proxies": [}')
    with pytest.raises(ConfigInvalid, match=r"site.json: expected JSON"):
        read_site_file(path)
    with pytest.raises(ConfigInvalid, match=r"unknown setting 'proxy'; expected proxies"):
        site(tmp_path, proxy=[])


async def test_the_first_entry_is_nearest_to_the_wire(bundles: Path) -> None:
    """The documented order: out through the last first, in through the first first."""
    entries = [{"proxy": "guard_x.proxies:Append", "word": word} for word in "12"]
    proxies = made(site(bundles, *entries), bundles / "guard_x")
    heard = Heard(lambda _: b"r")
    assert await outgoing(proxies, heard)(asked(payload=b"")) == b"r<1<2"
    assert await incoming(proxies, heard)(asked(payload=b"")) == b"r<2<1"
    assert [message.payload for message in heard.messages] == [b"21", b"12"]


def test_a_bundles_proxy_is_its_own_modules_alone(bundles: Path) -> None:
    """A bundle's code has no business in the messages of another's."""
    file = site(bundles, {"proxy": "guard_x.proxies:Append", "word": "1"}, {"proxy": "limits", "messages_per_s": 1})
    assert len(made(file, bundles / "guard_x")) == 2
    assert len(made(file, bundles / "meter_x")) == 1


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"proxy": "guard_x.proxies:Append"}, "missing required field 'word'"),
        ({"proxy": "guard_x.proxies:Append", "word": "x", "more": 1}, "unknown setting 'more'; expected word"),
        ({"proxy": "guard_x.proxies:Raises", "word": "x"}, "it takes no settings: remove word"),
        ({"proxy": "guard_x.proxies:NotAProxy"}, "expected a class derived from gridlink.Proxy"),
        ({"proxy": "guard_x.proxies:Missing"}, "expected a class derived from gridlink.Proxy .* got None"),
        ({"proxy": "guard_x.missing:X"}, "guard_x.missing can't be imported"),
        ({"proxy": "guard_x.proxies:Broken"}, "the proxy can't be made: OSError: no disk"),
    ],
    ids=str,
)
def test_a_bundles_proxy_that_cannot_be_made_says_why(bundles: Path, entry: dict[str, Any], reason: str) -> None:
    """The module fails with this reason; the rest of the site runs."""
    file = site(bundles, entry)
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        made(file, bundles / "guard_x")
    assert "proxies[0]" in str(caught.value)
    assert made(file, bundles / "meter_x") == ()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_proxy_that_raises_fails_that_message_alone(
    bundles: Path, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The sender learns which proxy it was, the log has its stack, and the next message passes."""
    call = incoming(made(site(bundles, {"proxy": "guard_x.proxies:Raises"}), bundles / "guard_x"), Heard())
    with pytest.raises(ProxyFailed, match=rf"guard_x.proxies:Raises raised on {when}: KeyError: '{when}'") as caught:
        await call(asked(type=when))
    assert caught.value.details == {"proxy": "guard_x.proxies:Raises"}
    assert "Traceback" in caplog.text
    assert await call(asked()) == b'"done"'


@pytest.mark.parametrize("error", [Refused("no"), ValueError("mine")])
async def test_the_error_of_a_handler_is_not_the_proxys(bundles: Path, error: Exception) -> None:
    """It passes through as it is."""

    def reply(_: Message) -> bytes:
        raise error

    call = incoming(made(site(bundles, {"proxy": "guard_x.proxies:Raises"}), bundles / "guard_x"), Heard(reply))
    with pytest.raises(type(error)) as caught:
        await call(asked())
    assert caught.value is error


def test_a_hook_that_raises_is_named(bundles: Path) -> None:
    """Where the chain is composed."""
    proxies = made(site(bundles, {"proxy": "guard_x.proxies:BrokenHook"}), bundles / "guard_x")
    with pytest.raises(ProxyFailed, match=r"guard_x.proxies:BrokenHook raised while it was put into place: OSError"):
        outgoing(proxies, Heard())


async def test_a_scope_holds_for_built_in_and_own_proxies(bundles: Path) -> None:
    """What `for` leaves out isn't touched."""
    only = {"for": {"role": "oltc"}}
    file = site(
        bundles,
        {"proxy": "limits", "messages_per_s": 0.001, **only},
        {"proxy": "guard_x.proxies:Append", "word": "1", **only},
    )
    heard = Heard(lambda _: b"")
    call = outgoing(made(file, bundles / "guard_x", Place("guard_x@a", roles=())), heard)
    for _ in range(3):
        await call(asked("storage", payload=b""))
    await call(asked("oltc", payload=b""))
    with pytest.raises(LimitExceeded):
        await call(asked("oltc", payload=b""))
    assert [message.payload for message in heard.messages] == [b"", b"", b"", b"1"]


async def test_keys_are_read_once_a_process(tmp_path: Path) -> None:
    """A module that restarts while a key is replaced must not be the only one with the new one."""
    key = tmp_path / "site.key"
    key.write_text(KEY)
    key.chmod(0o600)
    file = site(tmp_path, {"proxy": "encryption", "key_file": "site.key"})
    first = made(file, tmp_path)
    key.unlink()
    second = made(file, tmp_path)
    handler = Heard()
    call = outgoing(first, incoming(second, handler))
    assert await call(asked(payload=b"7")) == b'"done"'
    assert handler.messages[0].payload == b"7"


def test_errors_of_proxies_cross_the_bus_as_what_they_are() -> None:
    """With their typed fields."""
    error: GridlinkError = LimitExceeded("m", source="a@b", limit="bytes_per_s", allowed=2.0, retry_after_s=0.5)
    again = wire.error_of(*wire.error_reply(error))
    assert isinstance(again, LimitExceeded)
    assert again.details == error.details


def test_pynacl_is_loaded_where_encryption_is_configured_and_nowhere_else(tmp_path: Path) -> None:
    """3 MiB that a board without it must not pay, and a clear word where it isn't installed."""
    (tmp_path / "site.json").write_text('{"proxies": [{"proxy": "limits", "messages_per_s": 1}]}')
    (tmp_path / "sealed.json").write_text('{"proxies": [{"proxy": "encryption", "key_env": "K"}]}')
    code = f"""
import sys
import gridlink.node.node, gridlink.node.process
assert not {{"gridlink.proxies.site", "gridlink.proxies.limits"}} & set(sys.modules)
from pathlib import Path
from gridlink.errors import ConfigInvalid
from gridlink.proxies.site import read_site_file
read_site_file(Path({str(tmp_path)!r}) / "site.json")
assert "nacl" not in sys.modules and "gridlink.proxies.access" not in sys.modules
sys.modules["nacl"] = sys.modules["nacl.bindings"] = None
try:
    read_site_file(Path({str(tmp_path)!r}) / "sealed.json")
except ConfigInvalid as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "proxies[0] (encryption): expected PyNaCl" in done.stdout
    assert "pip install gridlink[encryption]" in done.stdout
