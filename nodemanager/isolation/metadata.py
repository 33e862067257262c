"""Distributions as a bundle sees them: its own, and those of the host that its manifest names. Others are hidden."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from nodemanager.isolation.owner import owner
from nodemanager.isolation.space import HOST, SHARED_BESIDE_STDLIB, BundleSpace, LibSpace

_Find = Callable[..., Iterable[Any]]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def scoped_find_distributions(original: _Find) -> Any:
    """What replaces `PathFinder.find_distributions` while armed."""

    def find_distributions(*args: Any, **kwargs: Any) -> Iterable[Any]:
        space = owner(sys._getframe(1))
        context = next(iter((*args, *kwargs.values())), None)
        if space is HOST or "path" in vars(context or object):
            return original(*args, **kwargs)
        bundle = space.user(None) if isinstance(space, LibSpace) else space
        return _of_bundle(original, bundle, getattr(context, "name", None))

    return staticmethod(find_distributions)


def _of_bundle(original: _Find, bundle: Any, name: str | None) -> Iterable[Any]:
    from importlib.metadata import DistributionFinder  # noqa: PLC0415 (0.9 MiB; the caller has it)

    named: dict[str, Any] = {} if name is None else {"name": name}
    if not isinstance(bundle, BundleSpace):
        return
    roots = bundle.roots + (bundle.lib.roots if bundle.lib is not None else [])
    yield from original(DistributionFinder.Context(path=roots, **named))
    visible = {_normal(top) for top in (*bundle.visible, *SHARED_BESIDE_STDLIB)}
    yield from (found for found in original(DistributionFinder.Context(**named)) if _normal(found.name) in visible)
