"""A server that phones on the same local network reach over https, without a public name: for trying things out.

Browsers give cryptography, storage and workers to pages over https only, so the server needs a certificate, and a
certificate for a private address can only come from an authority of one's own. It is made once and kept beside the
store; phones have to trust it by hand. It may vouch for private addresses alone, so that trusting it gives away nothing
else.

Source: RFC 5280 (4.2.1.10, name constraints), RFC 1918, RFC 4193.
"""

import datetime as dt
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from rapport_server.config import ConfigurationProblem

__all__ = ["Lan", "lan_address", "prepare"]

_AUTHORITY_DAYS: Final = 365
"""Trusted by hand on every phone: long enough not to annoy, short enough to be forgotten some day."""
_SERVER_DAYS: Final = 90
"""Of the server's own certificate, which is made anew at every start; Apple's devices refuse more than 825."""
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")


class Lan(Struct, frozen=True):
    """What a listener needs. certificate: the authority's, PEM; fingerprint: its SHA-256, as phones show it."""

    tls: ssl.SSLContext
    certificate: bytes
    fingerprint: str


def lan_address() -> str:
    """This machine's address on its local network. ConfigurationProblem when it has none that is private."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: nothing is sent, the system only picks an address
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    if not any(ipaddress.ip_address(address) in ipaddress.ip_network(net) for net in _PRIVATE if ":" not in net):
        raise ConfigurationProblem("this machine has no address on a private network; name one with --host")
    return address


def prepare(folder: Path, address: str) -> Lan:
    """The authority in `folder`, made there if there is none or it has expired, and a new certificate for `address`.

    Raises ConfigurationProblem for an address that is not private, or a folder that cannot be written.
    """
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        raise ConfigurationProblem("--lan needs a numeric address in server.host") from None
    if not any(host in ipaddress.ip_network(net) for net in _PRIVATE):
        raise ConfigurationProblem(f"{address} is not an address of a private network")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, certificate = _authority(folder)
        chain = folder / "server.pem"
        _keep(chain, _server_chain(host, key, certificate))
    except OSError as problem:
        raise ConfigurationProblem(f"{folder} cannot be written: {problem.strerror}") from None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain)
    digest = certificate.fingerprint(hashes.SHA256())
    return Lan(tls, certificate.public_bytes(serialization.Encoding.PEM), digest.hex(":").upper())


def _authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    kept = folder / "authority.pem"
    if kept.exists():
        pem = kept.read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.not_valid_after_utc > _now():
            return key, certificate
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Rapport on {socket.gethostname()[:40]}")])
    networks = [x509.IPAddress(ipaddress.ip_network(net)) for net in _PRIVATE]
    certificate = (
        _certificate(name, name, key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.NameConstraints(networks, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    _keep(kept, _pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def _server_chain(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(host))])
    certificate = (
        _certificate(name, authority.subject, key.public_key(), _SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return _pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - dt.timedelta(days=1))  # phones whose clock is behind
        .not_valid_after(_now() + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _keep(path: Path, content: bytes) -> None:
    """Written whole, readable by the owner alone."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    partial.replace(path)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
