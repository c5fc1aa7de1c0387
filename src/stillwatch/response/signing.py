"""Ed25519, for policies, approvals, checkpoints and snapshots: keys as PEM files, signatures as Base64.

The signature is the plain one of RFC 8032, so ``openssl pkeyutl -verify -pubin -rawin`` checks it too. Where a public
key stands in a policy it is one line: the Base64 between the dashes of its PEM file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from stillwatch.errors import ConfigError


def make_keys(private: Path, public: Path | None = None) -> Path:
    """Write a new private key, readable by its owner alone, and its public key; return where the public one is.

    ``public`` is the private key's file with ``.pub`` behind it when not given. Raises :class:`FileExistsError` rather
    than overwrite a key.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_keys(Path(folder) / "policy.key").name
    'policy.key.pub'
    """
    key = Ed25519PrivateKey.generate()
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    beside = public or private.with_name(private.name + ".pub")
    write_public(key.public_key(), beside)
    return beside


def write_public(key: Ed25519PublicKey, path: Path) -> None:
    """Write a public key as PEM."""
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a PEM file; raises :class:`ConfigError`.

    >>> private_key(Path("no-such-key"))
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-key: cannot be read: No such file or directory
    """
    try:
        key = load_pem_private_key(_bytes(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError("not an unencrypted PEM key", path=path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("not an Ed25519 private key", path=path)
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key of a PEM file; raises :class:`ConfigError`.

    >>> public_key(Path("no-such-key"))
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-key: cannot be read: No such file or directory
    """
    try:
        key = load_pem_public_key(_bytes(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("not a PEM public key", path=path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("not an Ed25519 public key", path=path)
    return key


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error


def one_line(key: Ed25519PublicKey) -> str:
    """Return a public key as it stands in a policy.

    >>> one_line(Ed25519PrivateKey.generate().public_key())[:16]
    'MCowBQYDK2VwAyEA'
    """
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def from_line(text: str) -> Ed25519PublicKey | None:
    """Return the public key that a line of a policy names, None when it names none.

    >>> key = Ed25519PrivateKey.generate().public_key()
    >>> from_line(one_line(key)) == key, from_line("anna")
    (True, None)
    """
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def key_id(key: Ed25519PublicKey) -> str:
    """Name a public key: sixteen hex digits of its SHA-256.

    >>> len(key_id(Ed25519PrivateKey.generate().public_key()))
    16
    """
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def sign(message: bytes, key: Ed25519PrivateKey) -> str:
    """Return the Base64 signature of a message.

    >>> len(sign(b"policy", Ed25519PrivateKey.generate()))
    88
    """
    return base64.b64encode(key.sign(message)).decode()


def is_signed(message: bytes, signature: str, key: Ed25519PublicKey) -> bool:
    """Say whether a Base64 signature of a message is by a key.

    >>> key = Ed25519PrivateKey.generate()
    >>> mark = sign(b"policy", key)
    >>> is_signed(b"policy", mark, key.public_key()), is_signed(b"another", mark, key.public_key())
    (True, False)
    """
    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, binascii.Error):
        return False
    return True
