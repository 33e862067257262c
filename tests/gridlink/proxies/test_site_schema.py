"""The published schema of a site file says what reading it says; and what is refused is named with path and value."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gridlink.errors import ConfigInvalid
from gridlink.proxies.site import read_site_file
from gridlink.proxies.site_schema import document

ROOT = Path(__file__).parents[3]
SCHEMA = document()
RULE = {"from": "a", "to": "role b"}


def access(**fields: Any) -> dict[str, Any]:
    """A file with a policy of one rule; `fields` are the rule's."""
    return {"proxies": [{"proxy": "access", "policy": [{**RULE, **fields}]}]}


def limits(**fields: Any) -> dict[str, Any]:
    """A file with limits."""
    return {"proxies": [{"proxy": "limits", **fields}]}


def sealed(**fields: Any) -> dict[str, Any]:
    """A file with encryption."""
    return {"proxies": [{"proxy": "encryption", **fields}]}


GOOD: list[Any] = [
    {},
    {"proxies": []},
    access(),
    access(**{"from": ["a", "b@n1", "*"], "to": ["role *", "topic t", "instance c@n", "instance *", "*"]}),
    access(types=["one", "*"]),
    access(hears=["role a", "topic *"]),
    {"proxies": [{"proxy": "access", "policy": [{"from": "a", "hears": ["role a"]}]}]},
    {"proxies": [{"proxy": "access", "policy": [], "for": {"role": "a", "topic": ["b", "c"], "module": "d"}}]},
    limits(messages_per_s=1),
    limits(bytes_per_s=0.5, burst_s=3, max_payload_bytes=10),
    sealed(key_file="site.key"),
    sealed(key_env="SITE_KEY", accept_key_files=["site.key"]),
    {"mqtt": {"port": 1884}, "jetstream": {"topics": {"measurement": {"max_mib": 4}}}},
]


BAD: list[tuple[Any, str]] = [
    ([], "expected a JSON object, got list"),
    ({"proxy": []}, "unknown setting 'proxy'; expected proxies"),
    ({"proxies": {}}, r"Expected 'array', got 'object' - at '\$.proxies'"),
    ({"proxies": [7]}, r"Expected 'object', got 'int' - at '\$.proxies\[0\]'"),
    ({"proxies": [{}]}, r"proxies\[0\]: expected 'proxy' to name one \(access, encryption, limits\), got None"),
    ({"proxies": [{"proxy": "tracing"}]}, r"proxies\[0\] \(tracing\): tracing is always there: remove the entry"),
    ({"proxies": [{"proxy": "access"}]}, r"proxies\[0\] \(access\): .*required field 'policy'"),
    (access(**{"from": "a b"}), "from: expected a module's name, name@node or .*, got 'a b'"),
    (access(to="oltc"), "to: expected role NAME, .*, got 'oltc'"),
    (access(to=["role a", "roles b"]), "to: expected role NAME, .*, got 'roles b'"),
    (access(to=[]), "a rule: expected 'to', 'hears' or both, got neither"),
    (access(to=[], hears=[]), "a rule: expected 'to', 'hears' or both, got neither"),
    (access(hears=["instance a"]), "hears: expected role NAME or topic NAME, got 'instance a'"),
    (access(types=["a.b"]), "types: expected a message type or .*, got 'a.b'"),
    (access(types="a"), r"Expected 'array', got 'str' - at '\$.policy\[0\].types'"),
    (access(type=["a"]), r"unknown field 'type' - at '\$.policy\[0\]'"),
    (limits(), "expected messages_per_s, bytes_per_s or max_payload_bytes, got none"),
    (limits(messages_per_s=None), "expected messages_per_s, bytes_per_s or max_payload_bytes, got none"),
    (limits(messages_per_s=0), r"Expected 'float' > 0.0 - at '\$.messages_per_s', got 0"),
    (limits(messages_per_s="9"), r"got 'str' - at '\$.messages_per_s'"),
    (limits(messages_per_s=1, burst_s=0), r"Expected 'float' > 0.0 - at '\$.burst_s', got 0"),
    (limits(messages=1), "unknown setting 'messages'; expected messages_per_s"),
    ({"proxies": [{"proxy": "limits", "messages_per_s": 1, "for": "x"}]}, "for: Expected 'object', got 'str'"),
    ({"proxies": [{"proxy": "limits", "messages_per_s": 1, "for": {"role": "a.b"}}]}, "role: expected .*, got 'a.b'"),
    ({"proxies": [{"proxy": "limits", "messages_per_s": 1, "for": {"roles": "a"}}]}, "unknown field 'roles'"),
    (sealed(), "expected either key_file or key_env, got neither"),
    (sealed(key_file="site.key", key_env="SITE_KEY"), "expected either key_file or key_env, got both"),
    (sealed(key_file=5), r"Expected 'str', got 'int' - at '\$.key_file'"),
    (sealed(key_file="site.key", keys=[]), "unknown setting 'keys'; expected key_file, key_env"),
    ({"mqtt": {"port": 0}}, r"Expected 'int' >= 1 - at '\$.mqtt.port', got 0"),
    ({"mqtt": {"host": "x"}}, "unknown setting 'mqtt.host'; expected mqtt.listen"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site file with its key beside it, and another one in the environment."""
    key = bytes(range(32)).hex()
    (tmp_path / "site.key").write_text(key)
    (tmp_path / "site.key").chmod(0o600)
    monkeypatch.setenv("SITE_KEY", key)
    return tmp_path / "site.json"


@pytest.mark.parametrize("content", GOOD, ids=str)
def test_what_the_schema_takes_is_read(file: Path, content: Any) -> None:
    """An editor that knows the schema doesn't complain of what works."""
    file.write_text(json.dumps(content))
    read_site_file(file)
    Draft202012Validator(SCHEMA).validate(content)


@pytest.mark.parametrize(("content", "said"), BAD, ids=str)
def test_what_the_schema_refuses_is_refused_with_the_reason(file: Path, content: Any, said: str) -> None:
    """And the other way round: an editor shows the mistake before the node does."""
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigInvalid, match=said) as caught:
        read_site_file(file)
    assert str(caught.value).startswith(str(file))
    assert not Draft202012Validator(SCHEMA).is_valid(content)


def test_the_example_of_the_documentation_is_valid() -> None:
    """Whoever copies it begins with a file that is right."""
    text = (ROOT / "docs" / "proxies.md").read_text()
    match = re.search(r"```json\n(\{\n  \"proxies\".*?)```", text, re.DOTALL)
    assert match is not None
    Draft202012Validator(SCHEMA).validate(json.loads(match[1]))
