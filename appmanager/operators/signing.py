"""Signs a command with an operator's nkey, on a desk."""

from __future__ import annotations

from pathlib import Path

from appmanager.operators.signed import Signable, Target, signed_bytes
from appmanager.orders import Signature
from gridlink.errors import TrustInvalid


def sign(type: str, command: Signable, target: Target, seed_file: Path, now_s: float) -> Signature:
    """The signature of a command to one machine, by the user whose seed (`SU…`) is in a file.

    `now_s`: Unix time. Raises TrustInvalid: the file can't be read, can be read by others, or holds no user's seed; a
    library is missing. PayloadInvalid: what JSON can't hold.
    """
    try:
        import nkeys  # noqa: PLC0415 - on a desk alone
    except ImportError as error:
        raise TrustInvalid(f"{error.name} is not installed: `pip install 'gridlink[cluster]'`") from error
    try:
        mode, seed = seed_file.stat().st_mode, seed_file.read_bytes().strip()
    except OSError as error:
        raise TrustInvalid(f"{seed_file}: expected an operator's seed, got: {error.strerror}: name its file") from error
    if mode & 0o077:
        raise TrustInvalid(f"{seed_file} can be read by others (mode {mode & 0o777:o}): `chmod 600` it")
    at_s = int(now_s)
    message = signed_bytes(type, command, target, at_s)
    try:
        pair = nkeys.from_seed(bytearray(seed))
        nkey = pair.public_key.decode()
    except (nkeys.NkeysError, ValueError, IndexError) as error:
        raise TrustInvalid(f"{seed_file}: expected a seed as `gridlink init --cluster` makes it (SU…)") from error
    if not nkey.startswith("U"):
        raise TrustInvalid(f"{seed_file}: expected the seed of a user (SU…), got one of another kind")
    return Signature(nkey, at_s, bytes(pair.sign(message)).hex())
