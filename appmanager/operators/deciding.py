"""Whether a command may be carried out, and in whose name. Pure: time and the check of a signature are passed in.

That a command is done once is its id's business (`Commands` and the record know all ids): a signed one that is sent
again by somebody else gets the outcome of the first. Its target keeps it from another site or machine, its time from
being held back. Time is that of the board's clock where that is right; one that is behind can't tell that a command
has expired, and one that is far ahead refuses with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from appmanager.operators.signed import Signable, Target, signed_bytes
from appmanager.orders import Signature
from gridlink.errors import AccessDenied
from gridlink.nkey import public_key

CLOCKS_DIFFER_S = 120.0
SIGNATURE_BYTES = 64

Genuine = Callable[[bytes, bytes, bytes], bool]
"""Whether a signature of a message is that of a public key: (key, message, signature)."""


def decide(
    operators: Mapping[str, str],
    type: str,
    command: Signable,
    signature: Signature | None,
    target: Target,
    now_s: float,
    genuine: Genuine,
) -> str:
    """The name of the operator who signed the command. `operators`: name by public nkey. Raises AccessDenied.

    An empty list allows anyone: then the name is empty, whatever came.
    """
    if not operators:
        return ""
    what = f"{type} of {command.module} on {target.machine}"
    named = f"site {target.site} lists its operators ({', '.join(sorted(operators.values()))})"

    def denied(reason: str, source: str = "") -> AccessDenied:
        return AccessDenied(f"{what}: {reason}", source=source, to=f"instance appmanager@{target.machine}", type=type)

    if signature is None:
        raise denied(f"{named}, and this command isn't signed: sign it with an operator's nkey")
    name = operators.get(signature.nkey)
    if name is None:
        shown = signature.nkey[:56]
        raise denied(f"{named}, and {shown} isn't one: add it to `operators` in the site file, or use their key", shown)
    expired_s = now_s - (signature.at_s + command.expires_s) - CLOCKS_DIFFER_S
    if expired_s > 0:
        raise denied(
            f"{name} signed it {now_s - signature.at_s:.0f} s ago by this machine's clock, and it is worth carrying "
            f"out for {command.expires_s:g} s: sign it anew, or set the clock",
            name,
        )
    message = signed_bytes(type, command, target, signature.at_s)
    ed25519 = _bytes_of(signature.ed25519)
    if len(ed25519) != SIGNATURE_BYTES or not genuine(public_key(signature.nkey), message, ed25519):
        raise denied(
            f"the signature isn't {name}'s: it was signed with another key, for another site or machine, or changed "
            "on its way (an older node can't check fields that it doesn't know)",
            name,
        )
    return name


def _bytes_of(digits: str) -> bytes:
    """The bytes of a signature; none of what is no hexadecimal number, which is nobody's."""
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""
