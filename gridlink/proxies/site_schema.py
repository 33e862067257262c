"""The published schema of a site file, made from the types that read it. Loaded by the generator of schemas alone."""

from __future__ import annotations

from typing import Any

from gridlink.address import TOKEN
from gridlink.contract import schema_of
from gridlink.document import REFERENCE, Document, Schema, schema_document
from gridlink.proxies.access import AccessSettings
from gridlink.proxies.encryption import EncryptionSettings
from gridlink.proxies.limits import LimitsSettings
from gridlink.proxies.policy import FORMS
from gridlink.proxies.scope import Scope
from gridlink.proxies.site import OPERATOR_NAME, OWN, SiteDocument

_END = r"$(?!\n)"
_OPEN = frozenset({"OwnProxy"})  # its fields are its author's


def document() -> Document:
    """`site.json`. What only a machine can tell (a key file's rights, a bundle's package) is seen when it is read."""
    whole = schema_of(SiteDocument)
    definitions = dict(whole["$defs"])
    entries: dict[str, Any] = {"access": AccessSettings, "encryption": EncryptionSettings, "limits": LimitsSettings}
    for name, settings in (*entries.items(), ("scope", Scope)):
        found = schema_of(settings)
        definitions |= found["$defs"]
        if name in entries:
            title = found["$ref"].removeprefix(REFERENCE)
            definitions[title] = _entry(definitions[title], {"const": name})
    definitions["OwnProxy"] = _entry(
        {"title": "OwnProxy", "description": "A proxy of a bundle or an installed package, with its own settings."},
        {"type": "string", "pattern": f"^{OWN}{_END}", "description": "package.module:Class"},
    )
    titles = ("AccessSettings", "EncryptionSettings", "LimitsSettings", "OwnProxy")
    proxies = definitions["SiteDocument"]["properties"]["proxies"]
    proxies["items"] = {"anyOf": [{"$ref": f"{REFERENCE}{title}"} for title in titles]}
    proxies["description"] = "The first is the outermost, nearest to the wire."
    _narrow(definitions)
    strict = {name: _strict(name, body) for name, body in definitions.items()}
    return schema_document("site", "a site's site.json", {"$ref": whole["$ref"], "$defs": strict})


def _entry(settings: Schema, name: Schema) -> Schema:
    """The settings of a proxy as an entry of the file has them: with its name and what it is for."""
    properties = {"proxy": name, "for": {"$ref": f"{REFERENCE}Scope"}, **settings.get("properties", {})}
    return {
        **settings,
        "type": "object",
        "properties": properties,
        "required": ["proxy", *settings.get("required", ())],
    }


def _narrow(definitions: dict[str, Any]) -> None:
    """Adds what code checks and no annotation says."""
    for field, (form, expected) in FORMS.items():
        rule = definitions["Rule"]["properties"][field]
        _each_string(rule, {"pattern": f"^({form}){_END}", "description": expected})
    filled = [{"required": [field], "properties": {field: {"minItems": 1}}} for field in ("to", "hears")]
    definitions["Rule"]["anyOf"] = filled
    for field in ("role", "topic"):
        _each_string(definitions["Scope"]["properties"][field], {"pattern": f"^{TOKEN}{_END}"})
    operator = definitions["Operator"]["properties"]
    operator["name"]["pattern"] = f"^{OPERATOR_NAME}{_END}"
    operator["nkey"] |= {
        "pattern": f"^U[A-Z2-7]{{55}}{_END}",
        "description": "a public nkey; its checksum must be right",
    }
    one_key = [{"required": [key], "properties": {key: {"minLength": 1}}} for key in ("key_file", "key_env")]
    definitions["EncryptionSettings"]["oneOf"] = one_key
    limits = ("messages_per_s", "bytes_per_s", "max_payload_bytes")
    definitions["LimitsSettings"]["anyOf"] = [
        {"required": [limit], "properties": {limit: {"type": "number"}}} for limit in limits
    ]


def _each_string(schema: Schema, more: Schema) -> None:
    if schema.get("type") == "string":
        schema |= more
    for inner in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")])):
        _each_string(inner, more)


def _strict(name: str, body: Schema) -> Schema:
    """Unknown settings are refused: a misspelt one would be none."""
    return body if name in _OPEN else {**body, "additionalProperties": False}
