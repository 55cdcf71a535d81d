"""Ed25519 keys (RFC 8032) of the server and of clients, and what they sign."""

import secrets
from dataclasses import dataclass, field

from qiskit_fedqml.errors import ConfigurationError

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:
    raise ConfigurationError(
        f"A ledger needs an extra that is not installed: pip install 'qiskit-fedqml[ledger]' ({error})."
    ) from error

SERVER = "server"
"""The server, as an owner of a key."""


@dataclass(frozen=True)
class Signature:
    """A signature, with what verifies it.

    Args:
        key: The public key, in hexadecimal digits.
        signature: In hexadecimal digits.
    """

    key: str
    signature: str


@dataclass(frozen=True)
class SimulatedKeys:
    """The private keys of all in a simulation: each is derived (HKDF, RFC 5869) from one secret when it is used.

    The secret is drawn from the system's generator, lives in this process's memory alone and is never written.
    """

    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def public_key(self, owner: str) -> str:
        """Return an owner's public key, in hexadecimal digits."""
        return self._of(owner).public_key().public_bytes_raw().hex()

    def sign(self, owner: str, message: bytes) -> Signature:
        """Return an owner's signature of a message."""
        private = self._of(owner)
        return Signature(private.public_key().public_bytes_raw().hex(), private.sign(message).hex())

    def _of(self, owner: str) -> "Ed25519PrivateKey":
        seed = HKDF(SHA256(), 32, None, owner.encode()).derive(self._secret)
        return Ed25519PrivateKey.from_private_bytes(seed)


def is_signed(key: str, signature: str, message: bytes) -> bool:
    """Return whether a signature is that of a public key's owner.

    Args:
        key: The public key, in hexadecimal digits.
        signature: The signature, in hexadecimal digits.
        message: What was signed.

    Raises:
        TypeError: Key or signature are no text.
    """
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
