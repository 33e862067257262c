"""Certificates and nkeys of a site, made on a desk by `gridlink init` with libraries that no board needs.

A board may boot with its clock at 1970, so certificates are valid from then. They hold until 2055; a lost
key is answered by a new CA, not by waiting.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gridlink.errors import TrustInvalid

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256

UNTIL = datetime.datetime(2055, 1, 1, tzinfo=datetime.UTC)
SINCE = datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority with its key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def check_installed() -> None:
    """Raises TrustInvalid where the libraries of the extra `cluster` are missing."""
    try:
        import cryptography.x509  # noqa: F401, PLC0415
        import nkeys  # noqa: F401, PLC0415
    except ImportError as error:
        raise TrustInvalid(f"{error.name} is not installed: `pip install 'gridlink[cluster]'`") from error


def authority(certificate_file: Path, key_file: Path, name: str) -> Authority:
    """The authority in two files; made, with the key for its owner alone, where there is none yet."""
    from cryptography import x509  # noqa: PLC0415 - on a desk alone
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    if key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TrustInvalid(f"{key_file}: expected a key on an elliptic curve, as `gridlink init` makes it")
        return Authority(x509.load_pem_x509_certificate(certificate_file.read_bytes()), key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, _sha256())
    )
    write_secret(key_file, _pem(key))
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key)


def issue(ca: Authority, names: Sequence[str], certificate_file: Path, key_file: Path) -> None:
    """Makes a server's certificate for the names and addresses, with a new key for its owner alone."""
    from cryptography import x509  # noqa: PLC0415 - on a desk alone
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # a route is both
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    certificate = (
        _builder(_name(names[0]), ca.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca.key, _sha256())
    )
    write_secret(key_file, _pem(key))
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def user(seed_file: Path) -> str:
    """The public nkey of the user whose seed is in a file; made, for its owner alone, where there is none yet."""
    import nkeys  # noqa: PLC0415 - on a desk alone

    if not seed_file.exists():
        write_secret(seed_file, bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)))
    public: bytes = nkeys.from_seed(bytearray(seed_file.read_bytes().strip())).public_key
    return public.decode()


def write_secret(file: Path, body: bytes) -> None:
    """Writes a file that its owner alone can read, from its first byte on."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(body)


def _builder(subject: x509.Name, issuer: x509.Name, public: object) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415 - on a desk alone

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)  # type: ignore[arg-type]
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509  # noqa: PLC0415 - on a desk alone
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509  # noqa: PLC0415 - on a desk alone

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _sha256() -> SHA256:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - on a desk alone

    return hashes.SHA256()


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - on a desk alone

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
