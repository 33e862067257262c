"""What a node may say to JetStream for its modules' durable topics, beyond what a policy allows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gridlink.address import ROOT
from gridlink.bus.durable.settings import CENTRE, DOMAIN, TRANSFER


def durable_rights(site: str, modules: Iterable[str], publish: Sequence[str]) -> list[str]:
    """Subjects to publish on: the stores of topics in `publish`, streams, and the consumers of its own modules.

    It can make a stream or change its bounds, but neither empty nor delete one, nor read in another module's name.
    """
    topics = f"{ROOT}.{site}.topic."
    stores = [f"{ROOT}.{site}.store.{one.removeprefix(topics)}" for one in publish if one.startswith(topics)]
    streams = [f"$JS.{DOMAIN}.API.STREAM.{verb}.*" for verb in ("CREATE", "UPDATE", "INFO")]
    consumers = [
        f"{subject}.{name}{end}"
        for name in sorted(modules)
        for subject, end in (
            (f"$JS.{DOMAIN}.API.CONSUMER.CREATE.*", ""),
            (f"$JS.{DOMAIN}.API.CONSUMER.MSG.NEXT.*", ""),
            ("$JS.ACK.*", ".>"),
        )
    ]
    return [*stores, *streams, *consumers]


def transfer_rights(site: str) -> list[str]:
    """Subjects by which any node of a site fetches files that an operator has put into a store for the site.

    It can neither put one nor remove one.
    """
    return [f"$JS.{domain}.API.DIRECT.GET.{TRANSFER}-{site}" for domain in (DOMAIN, CENTRE)]
