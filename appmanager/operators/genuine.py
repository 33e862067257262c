"""Checks an Ed25519 signature with libsodium (PyNaCl): in a process of its own, for it is needed once in a while.

Where PyNaCl is loaded already (a cluster's nkeys, encryption), it is used at once. Else it would stay: 1.1 MiB.
"""

from __future__ import annotations

import sys

from gridlink.errors import Refused

WITHIN_S = 20.0  # a board that is busy
_LOADED = "nacl.bindings"
_GENUINE, _FORGED, _MISSING = 0, 3, 4
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_PROGRAM = f"""
import sys
try:
    from {_LOADED} import crypto_sign_open
    from nacl.exceptions import CryptoError
except ImportError:
    sys.exit({_MISSING})
body = sys.stdin.buffer.read()
try:
    crypto_sign_open(body[{_KEY_BYTES}:], body[:{_KEY_BYTES}])
except CryptoError:
    sys.exit({_FORGED})
sys.exit({_GENUINE})
"""


def genuine(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature of the message is the key's. Blocks: call it in a thread.

    Raises Refused where that can't be found out: PyNaCl is missing, or the process fails.
    """
    if len(key) != _KEY_BYTES or len(signature) != _SIGNATURE_BYTES:
        return False
    if _LOADED in sys.modules:
        return _here(key, message, signature)
    import subprocess  # noqa: PLC0415 - for this alone

    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM],
            input=key + signature + message,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"who signed this command can't be found out: {error}: try again") from error
    if done.returncode == _MISSING:
        raise Refused(
            "who signed this command can't be found out: PyNaCl isn't installed on this machine: `pip install "
            "'gridlink[cluster]'` there"
        )
    if done.returncode not in (_GENUINE, _FORGED):
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Refused(f"who signed this command can't be found out: {words[-1] if words else done.returncode}")
    return done.returncode == _GENUINE


def _here(key: bytes, message: bytes, signature: bytes) -> bool:
    from nacl.bindings import crypto_sign_open  # noqa: PLC0415 - it is loaded
    from nacl.exceptions import CryptoError  # noqa: PLC0415

    try:
        crypto_sign_open(signature + message, key)
    except CryptoError:
        return False
    return True
