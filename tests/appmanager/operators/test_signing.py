"""An operator's key on a desk, and its check on a board that has libsodium, or hasn't."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appmanager.operators import genuine as checking
from appmanager.operators.genuine import genuine
from appmanager.operators.signing import sign
from appmanager.operators.verifying import operator_of
from gridlink.errors import AccessDenied, Refused, TrustInvalid
from gridlink.nkey import public_key
from tests.appmanager.operators.keys import HERE, ORDER, Person, person, seed_of_account

ROOT = Path(__file__).parents[3]


@pytest.fixture
def maria(tmp_path: Path) -> Person:
    """An operator."""
    return person(tmp_path, "maria")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hasn't loaded libsodium: the check has one of its own."""
    monkeypatch.setattr(checking, "_LOADED", "a library that isn't loaded")


def test_both_ways_of_checking_agree(maria: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where libsodium is loaded, and in a process of its own."""
    import nkeys  # noqa: PLC0415

    key = public_key(maria.operator.nkey)
    pair = nkeys.from_seed(bytearray(maria.seed_file.read_bytes()))
    signature = bytes(pair.sign(b"message"))
    for _ in range(2):
        assert genuine(key, b"message", signature)
        assert not genuine(key, b"massage", signature)
        assert not genuine(key, b"message", bytes(64))
        assert not genuine(bytes(32), b"message", signature)
        assert not genuine(key[:31], b"message", signature)
        monkeypatch.setattr(checking, "_LOADED", "a library that isn't loaded")


@pytest.mark.usefixtures("elsewhere")
async def test_an_appmanager_learns_who_asks(maria: Person, tmp_path: Path) -> None:
    """As it is wired: the site file's operators, the command, its signature, this machine."""
    listed = (maria.operator, person(tmp_path, "tom").operator)
    assert await operator_of(listed, "update", ORDER, maria.signs(), HERE) == "maria"
    with pytest.raises(AccessDenied, match="another key"):
        await operator_of(listed, "restart", ORDER, maria.signs(), HERE)
    assert await operator_of((), "update", ORDER, None, HERE) == ""


@pytest.mark.usefixtures("elsewhere")
async def test_a_check_that_is_cancelled_ends_first(maria: Person) -> None:
    """Its process isn't left behind."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await operator_of((maria.operator,), "update", ORDER, maria.signs(), HERE)


@pytest.mark.usefixtures("elsewhere")
def test_a_board_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not let a command pass because it can't check it."""
    program = checking._PROGRAM.replace("nacl.bindings", "nacl_that_is_missing.bindings")
    monkeypatch.setattr(checking, "_PROGRAM", program)
    with pytest.raises(Refused, match=r"PyNaCl isn't installed on this machine: `pip install 'gridlink\[cluster\]'`"):
        genuine(bytes(32), b"message", bytes(64))


@pytest.mark.usefixtures("elsewhere")
def test_a_check_that_fails_or_hangs_lets_nothing_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board without memory for one more process, for instance."""
    monkeypatch.setattr(checking, "_PROGRAM", "raise MemoryError('none left')")
    with pytest.raises(Refused, match="can't be found out: MemoryError: none left"):
        genuine(bytes(32), b"message", bytes(64))
    monkeypatch.setattr(checking, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(checking, "WITHIN_S", 0.3)
    with pytest.raises(Refused, match="try again"):
        genuine(bytes(32), b"message", bytes(64))


def test_checking_loads_no_library_into_a_node(maria: Person) -> None:
    """1.1 MiB that would stay."""
    program = f"""
import sys
from appmanager.operators.genuine import genuine
from appmanager.operators.deciding import decide
from gridlink.nkey import public_key
assert not genuine(public_key({maria.operator.nkey!r}), b"message", bytes(64))
print([name for name in sys.modules if name.startswith(("nacl", "nkeys", "cffi"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_seed_that_others_can_read_is_not_used(maria: Person) -> None:
    """Nor one that isn't there, or is no user's, or none at all."""
    maria.seed_file.chmod(0o640)
    with pytest.raises(TrustInvalid, match="chmod 600"):
        maria.signs()
    with pytest.raises(TrustInvalid, match="name its file"):
        sign("update", ORDER, HERE, maria.seed_file.with_name("nobody.nk"), time.time())
    maria.seed_file.chmod(0o600)
    for body, reason in ((seed_of_account(), "another kind"), (b"SUxyz", "expected a seed"), (b"", "expected a seed")):
        maria.seed_file.write_bytes(body)
        with pytest.raises(TrustInvalid, match=reason):
            maria.signs()


def test_a_desk_without_the_library_says_what_to_install(maria: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a stack."""
    monkeypatch.setitem(sys.modules, "nkeys", None)
    with pytest.raises(TrustInvalid, match=r"nkeys is not installed: `pip install 'gridlink\[cluster\]'`"):
        maria.signs()
