"""A document with its keys in the order in which its reader knows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_order_of(document: Any, known: Any) -> Any:
    """The document with the keys of its objects in the order of `known`'s, at any depth; new ones come last."""
    if not isinstance(document, Mapping) or not isinstance(known, Mapping):
        return document
    names = [*(name for name in known if name in document), *(name for name in document if name not in known)]
    return {name: in_order_of(document[name], known.get(name)) for name in names}
