"""What a node of a site with a policy may say to JetStream. Pure.

It makes neither streams nor consumers: by `republish`, `sources` or a `deliver_subject` the store would publish for it
where the policy doesn't let it. It acknowledges and pulls nothing either: JetStream answers at any reply subject, also
at one of its own API, so that an acknowledgement deletes a stream. So durable topics aren't for such a node.
"""

from __future__ import annotations

from gridlink.bus.durable.settings import CENTRE, DOMAIN, TRANSFER


def transfer_rights(site: str) -> list[str]:
    """Subjects by which any node of a site fetches files that an operator has put into a store for the site.

    It can neither put one nor remove one.
    """
    return [f"$JS.{domain}.API.DIRECT.GET.{TRANSFER}-{site}" for domain in (DOMAIN, CENTRE)]
