"""What is made of a nats-server's sentences about permissions."""

from __future__ import annotations

import logging

import pytest

from gridlink import address
from gridlink.bus import denials
from gridlink.bus.denials import Denials, may_not_send
from tests.gridlink.bus.receivers import message

SUBJECT = "gl.a.role.oltc.setTapPosition"


@pytest.mark.parametrize(
    ("said", "subject", "hearing"),
    [
        (f'Permissions Violation for Publish to "{SUBJECT}"', SUBJECT.lower(), ""),
        (f"'permissions violation for publish to \"{SUBJECT.lower()}\"'", SUBJECT.lower(), ""),
        ('Permissions Violation for Subscription to "gl.b.>"', "", "gl.b.>"),
        ('Permissions Violation for Subscription to "gl.b.role.x.*" using queue "role.x"', "", "gl.b.role.x.*"),
        ('Permissions Violation for Publish with Reply of "_INBOX.x"', "", ""),
        ("Permissions Violation of another kind", "", ""),
    ],
)
def test_a_sentence_is_understood(said: str, subject: str, hearing: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the server's spelling, and in the small letters that nats-py makes of it; each leaves a line in the log."""
    caplog.set_level(logging.WARNING)
    one = Denials("n1")
    assert one.note(said) == subject
    assert one.denies(SUBJECT) == bool(subject)
    assert not hearing or one.denies_hearing(hearing)
    assert len(caplog.messages) == 1


def test_a_subject_is_logged_once_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    """A module that asks each second must not fill the log; after a reconnection it is told again."""
    caplog.set_level(logging.WARNING)
    one = Denials("n1")
    said = f'Permissions Violation for Publish to "{SUBJECT}"'
    for _ in range(10):
        one.note(said)
    assert len(caplog.messages) == 1
    one.forget()
    assert not one.denies(SUBJECT)
    one.note(said)
    assert len(caplog.messages) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reply subjects are without number."""
    monkeypatch.setattr(denials, "_REMEMBERED", 10)
    one = Denials("n1")
    for number in range(100):
        one.note(f'Permissions Violation for Publish to "_INBOX.{number}"')
        one.is_unsure(f"gl.a.topic.t{number}")
    assert sum(one.denies(f"_INBOX.{number}") for number in range(100)) <= 10


def test_the_server_is_asked_once_a_subject_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round trip an event would cost its speed; a denial for ever would outlive the server's permissions."""
    now_s = 100.0
    monkeypatch.setattr("gridlink.bus.denials.time.monotonic", lambda: now_s)
    one = Denials("n1")
    assert [one.is_unsure(SUBJECT) for _ in range(3)] == [True, False, False]
    one.note(f'Permissions Violation for Publish to "{SUBJECT}"')
    assert not one.is_unsure(SUBJECT)
    now_s += denials.RECHECK_S + 0.1
    assert one.is_unsure(SUBJECT)
    assert not one.denies(SUBJECT)
    assert not one.is_unsure(SUBJECT)


def test_the_error_says_who_what_where_and_what_to_do() -> None:
    """Also for a message without a sender."""
    error = may_not_send(message(address.role("oltc"), "raise", source="guard@n1"), "n1")
    assert str(error).startswith("guard@n1 may not send raise to role oltc: the nats-server doesn't let")
    assert "add a rule to the site's policy" in str(error)
    assert str(may_not_send(message(address.role("oltc")), "n1")).startswith("the node n1 may not send")
