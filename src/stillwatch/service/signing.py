"""Ed25519 keys that sign snapshots: made once by the publisher, trusted by name on every gateway node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.errors import ConfigError, SnapshotRefused
from stillwatch.response.signing import key_id, make_keys, private_key, public_key, write_public

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
        return key_id(self.public)

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
        return cls({key_id(key): key for key in keys})

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Trust:
        """Read public keys (PEM); raises :class:`ConfigError` for a file that holds none.

        >>> Trust.load([Path("no-such-file")])
        Traceback (most recent call last):
        stillwatch.errors.ConfigError: no-such-file: cannot be read: No such file or directory
        """
        return cls.of(*(public_key(path) for path in paths))

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


def find_signer(path: Path) -> Signer:
    """Return the key of a PEM file (mode 0600), made with its public half beside it (``.pub``) on first use.

    Raises :class:`ConfigError` when the file holds no Ed25519 private key or cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, again = (find_signer(Path(folder, "signing.pem")) for _ in range(2))
    ...     first.issuer == again.issuer, list(Trust.load([Path(folder, "signing.pub")]).keys) == [first.issuer]
    (True, True)
    """
    beside = path.with_suffix(".pub")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_keys(path, beside)
        signer = Signer(private_key(path))
        if not beside.exists():
            write_public(signer.public, beside)
    except OSError as error:
        raise ConfigError(f"cannot be made: {error.strerror}", path=path) from error
    return signer
