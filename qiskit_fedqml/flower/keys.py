"""Keys of a deployment: the server's certificate with the authority that proves it, and a pair for each node."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 1096
"""How long certificates are valid."""


@dataclass(frozen=True)
class ServerKeys:
    """What proves the server.

    Args:
        authority: The certificate of an authority that signed nothing else and whose key is not kept, PEM.
        certificate: The server's certificate, PEM.
        key: The server's private key, PEM.
        until: When both certificates end.
    """

    authority: bytes
    certificate: bytes
    key: bytes
    until: datetime


@dataclass(frozen=True)
class NodeKeys:
    """What proves a node, in OpenSSH's format.

    Args:
        private: The private key.
        public: The public key.
    """

    private: bytes
    public: bytes


def make_server_keys(host: str) -> ServerKeys:
    """Make a server's certificate for a host name or an IP address, and for this computer's own addresses."""
    now = datetime.now(UTC)
    start, until = now - timedelta(days=1), now + timedelta(days=DAYS)
    authority_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    authority_name, name = _name("Authority of a deployment of qiskit_fedqml"), _name("SuperLink of qiskit_fedqml")
    authority = (
        _unsigned(authority_name, authority_name, authority_key, start, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA384())
    )
    certificate = (
        _unsigned(name, authority_name, key, start, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    return ServerKeys(
        authority.public_bytes(Encoding.PEM),
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        until,
    )


def make_node_keys() -> NodeKeys:
    """Make a node's pair of keys."""
    key = ec.generate_private_key(ec.SECP384R1())
    return NodeKeys(
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n",
    )


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    try:
        own: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        own = x509.DNSName(host)
    return [*names, own] if own not in names else names
