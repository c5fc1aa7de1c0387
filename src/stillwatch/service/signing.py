"""Ed25519 keys that sign snapshots: made once by the publisher, trusted by name on every gateway node."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from stillwatch.errors import ConfigError, SnapshotRefused

SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Signer:
    """The publisher's private key.

    >>> signer = Signer(Ed25519PrivateKey.generate())
    >>> Trust.of(signer.public).check(signer.issuer, b"words", signer.sign(b"words"))
    """

    key: Ed25519PrivateKey

    @property
    def public(self) -> Ed25519PublicKey:
        """The public half, for nodes."""
        return self.key.public_key()

    @property
    def issuer(self) -> str:
        """The public name of the key: sixteen hex digits of its SHA-256."""
        return issuer_of(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of a message."""
        return self.key.sign(message)


@dataclass(frozen=True, slots=True)
class Trust:
    """The public keys whose snapshots a node takes, by issuer."""

    keys: dict[str, Ed25519PublicKey]

    @classmethod
    def of(cls, *keys: Ed25519PublicKey) -> Trust:
        """Trust these keys.

        >>> Trust.of().keys
        {}
        """
        return cls({issuer_of(key): key for key in keys})

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Trust:
        """Read public keys (PEM); raises :class:`ConfigError` for a file that holds none.

        >>> Trust.load([Path("no-such-file")])
        Traceback (most recent call last):
        stillwatch.errors.ConfigError: no-such-file: no Ed25519 public key: ...
        """
        return cls.of(*(_public_key(path) for path in paths))

    def check(self, issuer: str, message: bytes, signature: bytes) -> None:
        """Raise :class:`SnapshotRefused` unless a trusted issuer signed the message.

        >>> Trust.of().check("0011", b"words", b"")
        Traceback (most recent call last):
        stillwatch.errors.SnapshotRefused: foreign: signed by 0011, which this node does not trust
        """
        key = self.keys.get(issuer)
        if key is None:
            raise SnapshotRefused("foreign", f"signed by {issuer[:32]}, which this node does not trust")
        try:
            key.verify(signature, message)
        except InvalidSignature:
            raise SnapshotRefused("unsigned", "the signature does not fit the content") from None


def issuer_of(key: Ed25519PublicKey) -> str:
    """Name a public key.

    >>> len(issuer_of(Ed25519PrivateKey.generate().public_key()))
    16
    """
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def find_signer(path: Path) -> Signer:
    """Return the key of a PEM file (mode 0600), made with its public half beside it (``.pub``) on first use.

    Raises :class:`ConfigError` when the file holds no Ed25519 private key or cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, again = (find_signer(Path(folder, "signing.pem")) for _ in range(2))
    ...     first.issuer == again.issuer, list(Trust.load([Path(folder, "signing.pub")]).keys) == [first.issuer]
    (True, True)
    """
    try:
        if not path.exists():
            _make(path)
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"no Ed25519 private key: {error}", path=path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("no Ed25519 private key: of another kind", path=path)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_suffix(".pub")
    if not beside.exists():
        beside.write_bytes(public)
    return Signer(key)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Ed25519 public key: {error}", path=path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("no Ed25519 public key: of another kind", path=path)
    return key
