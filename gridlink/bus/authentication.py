"""Credentials as nats-py's options. TLS and nkeys are loaded where they are used: a node on loopback needs neither."""

from __future__ import annotations

from typing import Any

from gridlink.config import Credentials
from gridlink.errors import ServerUnreachable, TrustInvalid


def authentication(given: Credentials) -> dict[str, Any]:
    """The options of `Client.connect` for the credentials. Raises TrustInvalid for a file that can't be used."""
    options: dict[str, Any] = {
        "user_credentials": given.creds,
        "nkeys_seed": given.nkey,
        "user": given.user,
        "password": given.password,
        "token": given.token,
        "tls_hostname": given.tls_name,
    }
    if given.nkey or given.creds:
        _check_nkeys()
    if given.ca or given.cert:
        import ssl  # noqa: PLC0415 - 2.7 MiB that a node on loopback doesn't need

        try:
            context = ssl.create_default_context(cafile=given.ca)
            if given.cert:
                context.load_cert_chain(given.cert, given.key)
        except OSError as error:  # ssl.SSLError is one
            raise TrustInvalid(f"{given.ca or ''} {given.cert or ''}: no usable certificate: {error}") from error
        options["tls"] = context
    return {name: value for name, value in options.items() if value is not None}


def unreachable(url: str, within_s: float, reason: str, wants_credentials: bool) -> ServerUnreachable:
    """The error for a server that isn't there, or that doesn't let us in."""
    if wants_credentials:
        return ServerUnreachable(
            f"the nats-server at {url} did not let us in ({reason}): it wants credentials of its own site: NATS_NKEY "
            "with NATS_CA (see docs/cluster.md), NATS_CREDS, NATS_USER or NATS_TOKEN"
        )
    return ServerUnreachable(
        f"no nats-server reached at {url} within {within_s:g} s ({reason}): start one, or name another with --nats "
        "URL or NATS_URL"
    )


def _check_nkeys() -> None:
    try:
        import nkeys  # noqa: F401, PLC0415 - the extra `cluster`
    except ImportError as error:
        raise TrustInvalid("nkeys are not installed: `pip install 'gridlink[cluster]'`") from error
