"""Scopes: which messages a proxy is for, seen from the sender and from the receiver."""

from __future__ import annotations

from typing import Any

import pytest

from gridlink.message import Message
from gridlink.proxies import Proxy
from gridlink.proxies.scope import Coverage, Scope, Scoped
from tests.gridlink.proxies.place import FakePeer, Heard, Place, asked, event

BEHIND = {
    "role.storage": [FakePeer("storage", ("storage",))],
    "role.both": [FakePeer("storage", ("both",)), FakePeer("archive", ("both",))],
    "instance.b.storage": [FakePeer("storage", ("storage",))],
    "instance.b.guard": [FakePeer("guard")],
    "topic.measurement": [FakePeer("guard"), FakePeer("storage")],
}


@pytest.mark.parametrize(
    ("scope", "message", "covered"),
    [
        ({}, asked(), True),
        ({}, event(), True),
        ({"role": "storage"}, asked("storage"), True),
        ({"role": "storage"}, asked("oltc"), False),
        ({"role": ("oltc", "storage")}, asked("oltc"), True),
        ({"role": "measurement"}, event("measurement"), False),
        ({"topic": "measurement"}, event("measurement"), True),
        ({"role": "storage", "topic": "measurement"}, event("measurement"), True),
        ({"role": "storage"}, asked("storage@b"), True),
        ({"role": "storage"}, asked("guard@b"), False),
        ({"role": "storage"}, asked("unknown@b"), True),
        ({"topic": "measurement"}, asked("unknown@b"), False),
        ({"module": "sender"}, asked("oltc"), True),
        ({"module": "sender"}, event(), True),
        ({"module": "storage"}, asked("storage"), True),
        ({"module": "storage"}, asked("both"), True),
        ({"module": "storage"}, asked("oltc"), False),
        ({"module": "storage"}, asked("storage@c"), True),
        ({"module": "storage"}, asked("storage-2@c"), True),
        ({"module": "storage"}, asked("guard@b"), False),
        ({"module": "storage"}, event("measurement"), True),
        ({"module": "storage"}, event("other"), False),
        ({"module": "sender", "role": "storage"}, asked("oltc"), False),
        ({"module": "sender", "role": "storage"}, asked("storage"), True),
        ({"module": "archive", "role": "storage"}, asked("storage"), False),
    ],
    ids=str,
)
def test_what_is_sent(scope: dict[str, Any], message: Message, covered: bool) -> None:
    """An address decides, or who may get it; what the registry doesn't know counts as covered."""
    around = Place("sender@a", roles=(), behind=BEHIND).around()  # type: ignore[arg-type]
    assert Coverage(Scope(**scope), around).outgoing(message) is covered


@pytest.mark.parametrize(
    ("scope", "message", "covered"),
    [
        ({}, asked(), True),
        ({"role": "storage"}, asked("storage"), True),
        ({"role": "storage"}, asked("other"), False),
        ({"role": "storage"}, asked("storage@b"), True),
        ({"role": "oltc"}, asked("storage@b"), False),
        ({"topic": "measurement"}, event("measurement"), True),
        ({"topic": "measurement"}, event("other"), False),
        ({"module": "storage"}, asked("storage"), True),
        ({"module": "storage"}, event(), True),
        ({"module": "guard"}, asked(source="guard@a"), True),
        ({"module": "guard"}, asked(source="guard-2@a"), True),
        ({"module": "guard"}, asked(source="meter@a"), False),
        ({"module": "guard"}, asked(source=""), False),
    ],
    ids=str,
)
def test_what_is_received(scope: dict[str, Any], message: Message, covered: bool) -> None:
    """The receiver knows its own roles and name, and who sent it."""
    assert Coverage(Scope(**scope), Place().around()).incoming(message) is covered


async def test_what_is_not_covered_passes_beside_the_proxy() -> None:
    """It must not even be looked at."""

    class Deny(Proxy):
        def outgoing(self, call: Any) -> Any:
            return self.incoming(call)

        def incoming(self, call: Any) -> Any:
            async def denied(message: Message) -> Any:
                raise ValueError

            return denied

    scoped = Scoped(Deny(), Coverage(Scope(role="storage"), Place("guard@a", roles=()).around()))
    for call in (scoped.outgoing(Heard()), scoped.incoming(Heard())):
        assert await call(asked("oltc")) == b'"done"'
        with pytest.raises(ValueError, match=r"^$"):
            await call(asked("storage"))
