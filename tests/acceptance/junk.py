"""Messages that no sane program sends, made from a seed: bad subjects, headers, bodies and replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

READING = {"meter": "bus_10", "value_pu": 1.0, "count": 3, "phases": [1, 2, 3], "tags": {"ok": True}, "note": None}
MAX_LINE = 3500  # nats-server takes 4096 bytes for subject, reply and sizes
MAX_BYTES = 1_000_000  # of headers and body together
DEPTH = 200_000  # of nested arrays: more than any decoder's recursion


@dataclass(frozen=True)
class Junk:
    """A message as it goes to the server. `headers` is a whole block, or empty."""

    subject: bytes
    reply: bytes
    headers: bytes
    body: bytes

    def command(self) -> bytes:
        """What is written to the server."""
        if self.headers:
            sizes = b"%d %d" % (len(self.headers), len(self.headers) + len(self.body))
            return b"".join(
                (b"HPUB ", self.subject, b" ", self.reply, b" ", sizes, b"\r\n", self.headers, self.body, b"\r\n")
            )
        return b"".join((b"PUB ", self.subject, b" ", self.reply, b" %d\r\n" % len(self.body), self.body, b"\r\n"))


@dataclass(frozen=True)
class Site:
    """Where the junk goes: what a node hears, and documents that are valid, to be spoilt."""

    prefix: str  # gl.<site>
    node: str
    heard: tuple[tuple[str, Any], ...]  # <address>.<type>, and a payload that is right there
    inbox: str  # where the node hears replies


def messages(site: Site, number: int, seed: int) -> Iterator[Junk]:
    """So many of them; the same for the same seed."""
    random = Random(seed)
    made: list[tuple[Callable[[Random, Site], Junk], int]] = [
        (_to_a_module, 60), (_to_the_registry, 20), (_to_discovery, 8), (_to_the_inbox, 8), (_anywhere, 4),
    ]  # fmt: skip
    makers, weights = zip(*made, strict=True)
    for _ in range(number):
        made_one = random.choices(makers, weights)[0](random, site)
        yield replace(made_one, body=made_one.body[: MAX_BYTES - len(made_one.headers)])


def example(schema: Any, whole: Any = None) -> Any:
    """A value that fits a JSON Schema as a node publishes it."""
    whole = schema if whole is None else whole
    if "$ref" in schema:
        return example(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], whole)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: example(part, whole) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], whole)] * 2
    return {"string": "x", "integer": 1, "number": 1.0, "boolean": True}.get(kind)


def _to_a_module(random: Random, site: Site) -> Junk:
    where, right = random.choice(site.heard)
    if random.random() < 0.1:
        where = f"{where.rpartition('.')[0]}.{_token(random)}"
    return Junk(_subject(f"{site.prefix}.{where}"), _reply(random, site), _headers(random, site), _body(random, right))


def _to_the_registry(random: Random, site: Site) -> Junk:
    kind = random.choice(("announce", "update", "heartbeat", "sync", "leave", _token(random)))
    where = random.choice((f"registry.{kind}", f"instance.{site.node}._registry.announce"))
    body = _body(random, _registry_word(random, site, kind))
    return Junk(_subject(f"{site.prefix}.{where}"), _reply(random, site), _headers(random, site), body)


def _to_discovery(random: Random, site: Site) -> Junk:
    parts = [
        random.choice(("PING", "INFO", "STATS", _token(random))),
        *(_token(random) for _ in range(random.randrange(4))),
    ]
    subject = _subject(".".join(("$SRV", *parts)))
    return Junk(subject, _reply(random, site), _headers(random, site), _body(random, READING))


def _to_the_inbox(random: Random, site: Site) -> Junk:
    token = random.choice((f"{random.randrange(200):x}", _token(random)))
    subject = _subject(f"{site.inbox}.{token}")
    return Junk(subject, _reply(random, site), _headers(random, site), _body(random, READING))


def _anywhere(random: Random, site: Site) -> Junk:
    parts = [
        random.choice((site.prefix, "gl", "role", "topic", "instance", _token(random)))
        for _ in range(random.randint(1, 6))
    ]
    return Junk(_subject(".".join(parts)), _reply(random, site), _headers(random, site), _body(random, READING))


def _subject(text: str) -> bytes:
    """A subject that the server takes in: no white space, no empty token, not too long."""
    tokens = ["".join(letter for letter in token if not letter.isspace()) for token in text.split(".")]
    return ".".join(token or "x" for token in tokens).encode("utf-8", "surrogatepass")[: MAX_LINE // 2]


def _token(random: Random) -> str:
    return random.choice(
        (
            "x",
            "*x",
            ">y",
            "Type",
            "a" * random.choice((1, 300, 900)),
            "ä€\U0001f600",
            "\x01\x7f",
            "_node",
            "-",
            "%s%n",
            "{}",
            "__class__",
            "$SYS",
        )
    )


def _reply(random: Random, site: Site) -> bytes:
    return (
        _subject(
            random.choice(
                (
                    "",
                    "_INBOX.junk.1",
                    "junk",
                    f"{site.prefix}.registry.announce",
                    f"{site.prefix}.{site.heard[0][0]}",
                    "a.*",
                    ">",
                    "$SYS.x",
                    "r" * 1500,
                    "é.ü",
                )
            )
        )
        if random.random() < 0.8
        else b""
    )


def _headers(random: Random, site: Site) -> bytes:
    if random.random() < 0.3:
        return b""
    lines = [_header(random, site) for _ in range(random.choice((0, 1, 1, 2, 5, 40)))]
    first = random.choice(
        (b"NATS/1.0", b"NATS/1.0", b"NATS/1.0 503", b"NATS/1.0 \xff\xfe", b"NATS/9.9 abc", b"JUNK", b"")
    )
    return first + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + random.choice((b"\r\n", b"\r\n", b"", b"\n"))


def _header(random: Random, site: Site) -> bytes:
    name = random.choice(
        (
            b"Gl-Message",
            b"Gl-Message",
            b"Gl-Id",
            b"Gl-Source",
            b"Gl-Timeout-Ms",
            b"traceparent",
            b"Nats-Service-Error",
            b"Nats-Service-Error-Code",
            b"Status",
            b"",
            b"\xff\x00",
            b"no colon",
        )
    )
    number = random.choice((b"0", b"-1", b"1e9", b"9" * 400, b"NaN", "٣²".encode(), b"5000", b" "))
    source = random.choice((b"a@b", b"@", b"\xff@\xfe", b"x" * 2000, f"probe@{site.node}".encode()))
    trace = random.choice((b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"zz-1-2-3", b"-" * 500, b"\x00"))
    packed = b";".join(random.choice(((b"id", source, number, trace), (source,), (b"",) * 9, (b"", b"", number, b""))))
    value = random.choice(
        (packed, number, source, trace, random.randbytes(random.randrange(40)).replace(b"\n", b""), b"v" * 20_000)
    )
    return name + random.choice((b": ", b":", b" : ", b"")) + value


def _body(random: Random, right: Any) -> bytes:
    kind = random.randrange(12)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        return random.choice(
            (b"", b"null", b"[]", b"{}", b'""', b"0", b"true", b"NaN", b"-", b"\xef\xbb\xbf{}", b"{}{}")
        )
    if kind == 2 and random.random() < 0.1:
        return random.choice(
            (b"[" * DEPTH, b'{"a":' * DEPTH, b"[" * DEPTH + b"]" * DEPTH, b'"' + b"x" * MAX_BYTES + b'"')
        )
    body = _json(right if random.random() < 0.1 else _spoilt(random, right))
    if kind in (3, 4):
        return body[: random.randrange(len(body) + 1)]
    if kind == 5:
        at = random.randrange(len(body) + 1)
        return body[:at] + random.randbytes(3) + body[at:]
    return body


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _spoilt(random: Random, document: Any) -> Any:
    """The document with one of its parts, or all of it, replaced by something else; now and then unharmed."""
    if not isinstance(document, dict | list) or not document or random.random() < 0.15:
        return _value(random)
    if isinstance(document, list):
        at = random.randrange(len(document))
        return [*document[:at], _spoilt(random, document[at]), *document[at + 1 :]]
    copy = dict(document)
    name = random.choice(sorted(copy))
    what = random.randrange(4)
    if what == 0:
        del copy[name]
    elif what == 1:
        copy[_token(random)] = _value(random)
    else:
        copy[name] = _spoilt(random, copy[name])
    return copy


def _value(random: Random) -> Any:
    return random.choice(
        (
            None,
            True,
            -1,
            0,
            10**30,
            -(2**63),
            1e308,
            -1e-320,
            float("nan"),
            float("inf"),
            "",
            "x",
            "a b",
            "é\x00",
            "\ud800",
            "y" * 5000,
            [],
            {},
            [[]],
            [1] * 500,
            {"": {}},
            "../../etc",
            "*",
            ">",
        )
    )


def _registry_word(random: Random, site: Site, kind: str) -> dict[str, Any]:
    """A word of the registry's protocol as another node would say it, or as one of our node's name would."""
    node = random.choice((*(f"n{random.randrange(40)}" for _ in range(4)), site.node, "a b", "", "*", "é", "n" * 300))
    to = random.choice(("", site.node, "é"))
    if kind == "sync":
        return {"node": node, "to": to}
    entry = {
        "name": "x",
        "instance": f"x@{node}",
        "node": node,
        "machine": "m",
        "pid": 1,
        "version": "1",
        "mode": "node",
        "state": random.choice(("RUNNING", "FAILED", "NOWHERE")),
        "roles": ["probe"],
        "subscribes": {"a": {"b": "c"}},
    }
    clock = {
        "site_s": random.choice((0, 1e308, -1e308, 1.7e9)),
        "speed": random.choice((1, 0, -1, 1e308, 1e-308)),
        "leader": random.choice(("", "zz@zz", "a")),
        "version": random.choice((0, 1, 2**62)),
    }
    return {
        "node": node,
        "machine": "m",
        "boot": random.choice(("b", "", "c")),
        "version": random.choice((0, 1, -5, 2**63 - 1)),
        "entries": [entry] * random.choice((0, 1, 50)),
        "clock": random.choice((None, clock)),
    }
