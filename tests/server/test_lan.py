"""https on the local network: phones trust an authority that can vouch for nothing but private addresses."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

import pytest

from rapport_server.config import Config, ConfigurationProblem, Server, check
from rapport_server.lan import Lan, _authority, _server_chain, prepare

PHONE_OPENS = "192.168.7.20"


def shake_hands(server: ssl.SSLContext, trusted: bytes, name: str) -> None:
    """A whole TLS handshake without a network; raises SSLError when the client refuses."""
    client = ssl.create_default_context(cadata=trusted.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].version() == "TLSv1.3"


def test_a_phone_that_trusts_the_authority_reaches_the_server(tmp_path: Path) -> None:
    lan = prepare(tmp_path / "lan", PHONE_OPENS)
    shake_hands(lan.tls, lan.certificate, PHONE_OPENS)
    with pytest.raises(ssl.SSLError, match="IP address mismatch"):
        shake_hands(lan.tls, lan.certificate, "192.168.7.21")


def test_one_that_does_not_trust_it_refuses(tmp_path: Path) -> None:
    lan, other = prepare(tmp_path / "lan", PHONE_OPENS), prepare(tmp_path / "other", PHONE_OPENS)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(lan.tls, other.certificate, PHONE_OPENS)


def test_the_authority_stays_and_the_servers_own_certificate_is_new(tmp_path: Path) -> None:
    first = prepare(tmp_path, PHONE_OPENS)
    chain = (tmp_path / "server.pem").read_bytes()
    second = prepare(tmp_path, "10.0.0.4")
    assert second.fingerprint == first.fingerprint
    assert (tmp_path / "server.pem").read_bytes() != chain
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    shake_hands(second.tls, first.certificate, "10.0.0.4")


def test_it_cannot_vouch_for_the_rest_of_the_internet(tmp_path: Path) -> None:
    lan = prepare(tmp_path, PHONE_OPENS)
    key, authority = _authority(tmp_path)
    (tmp_path / "forged.pem").write_bytes(_server_chain(ipaddress.ip_address("8.8.8.8"), key, authority))
    forged = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    forged.load_cert_chain(tmp_path / "forged.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shake_hands(Lan(forged, lan.certificate, "").tls, lan.certificate, "8.8.8.8")


@pytest.mark.parametrize("address", ["8.8.8.8", "127.0.0.1", "practice.example"])
def test_only_private_addresses(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigurationProblem):
        prepare(tmp_path, address)


def test_with_it_a_private_address_may_be_listened_on() -> None:
    check(Config(server=Server(host=PHONE_OPENS, lan=True)))
    with pytest.raises(ConfigurationProblem, match="clear text"):
        check(Config(server=Server(host=PHONE_OPENS)))
