"""Ed25519 over a file or over bytes: keys as PEM, signatures as Base64 in a file beside the signed one.

The signature is the plain one of RFC 8032, so ``openssl pkeyutl -verify -pubin -rawin`` checks it too.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from stillwatch.errors import ConfigError


def make_keys(private: Path) -> Path:
    """Write a new private key, readable by its owner alone, and its public key beside it (``.pub``).

    Raises :class:`FileExistsError` rather than overwrite a key.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_keys(Path(folder) / "policy.key").name
    'policy.key.pub'
    """
    key = Ed25519PrivateKey.generate()
    private.touch(mode=0o600, exist_ok=False)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.with_name(private.name + ".pub")
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(message: bytes, private: Path) -> str:
    """Return the Base64 signature of a message by the key in a PEM file; raises :class:`ConfigError`.

    >>> sign(b"policy", Path("no-such-key"))
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-key: cannot be read: No such file or directory
    """
    key = _load(private, load_pem_private_key, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("not an Ed25519 private key", path=private)
    return base64.b64encode(key.sign(message)).decode()


def is_signed(message: bytes, signature: str, public: Path) -> bool:
    """Say whether a Base64 signature of a message is by the key in a PEM file; raises :class:`ConfigError`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     public = make_keys(Path(folder) / "key")
    ...     mark = sign(b"policy", Path(folder) / "key")
    ...     is_signed(b"policy", mark, public), is_signed(b"another", mark, public)
    (True, False)
    """
    key = _load(public, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("not an Ed25519 public key", path=public)
    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _load(path: Path, load: object, *more: object) -> object:
    try:
        return load(path.read_bytes(), *more)  # type: ignore[operator]
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError("not an unencrypted PEM key", path=path) from error
