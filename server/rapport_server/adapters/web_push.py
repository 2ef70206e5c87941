"""Web Push: one encrypted, signed request per push, to a push service that the operator allows.

    {"class":"message"}, spaces up to 64 bytes  --RFC 8291-->  a body of 167 bytes, whatever the class

The same headers for every class, so that a push service sees that a device is woken, and when; nothing else.

Source: RFC 8030, RFC 8291 (with RFC 8188), RFC 8292; docs/protocol.md, chapter 19.
"""

import base64
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rapport_server.notifications import (
    UNDER_WAY_MS,
    Endpoint,
    NotReached,
    Outgoing,
    PushClass,
    PushServices,
    Sent,
)

__all__ = ["WebPush", "content_of", "encrypted", "host_is_allowed", "private_key_of", "public_bytes"]

CONTENT_BYTES: Final = 64
"""Every push has this much content: classes cannot be told apart by size."""
TTL_S: Final = UNDER_WAY_MS // 1000
"""Seconds that a push service keeps a push for a device that is off: what it says after a day, the app says itself."""
TOKEN_S: Final = 12 * 3600
"""Seconds that a signature holds; RFC 8292 allows 24 hours."""
TOKENS_KEPT: Final = 64
"""Push services whose signature is remembered; there are four that matter."""
_RECORD_BYTES: Final = 4096
_LATER: Final = frozenset({408, 425, 429})
_GONE: Final = frozenset({404, 410})


def private_key_of(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of 32 bytes. ValueError for none."""
    return ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """The 65 bytes that browsers and headers carry."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def content_of(kind: PushClass) -> bytes:
    """The whole content, 64 bytes."""
    return json.dumps({"class": str(kind)}, separators=(",", ":")).encode().ljust(CONTENT_BYTES)


def encrypted(content: bytes, endpoint: Endpoint, sender: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The body of RFC 8291, one record. sender: used once; salt: 16 random bytes. ValueError for keys that are none."""
    browser = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), endpoint.p256dh)
    ours = public_bytes(sender.public_key())
    shared = sender.exchange(ec.ECDH(), browser)
    secret = _derived(shared, endpoint.auth, b"WebPush: info\x00" + endpoint.p256dh + ours, 32)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\x00", 12)
    header = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes((len(ours),)) + ours
    return header + AESGCM(key).encrypt(nonce, content + b"\x02", None)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def host_is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host is one of these, or below one that is written `*.example.com`."""
    return any(host.endswith(each[1:]) if each.startswith("*.") else host == each for each in allowed)


class WebPush:
    """Satisfies PushServices.

    secret: 32 bytes, the server's private key; browsers bind subscriptions to it, so it stays. contact: `mailto:` or
    `https:`, whom a push service may write to. hosts: see `host_is_allowed`. now_s: seconds of Unix time.
    """

    def __init__(
        self, outgoing: Outgoing, secret: bytes, contact: str, hosts: Sequence[str], now_s: Callable[[], float]
    ) -> None:
        self._outgoing = outgoing
        self._key = private_key_of(secret)
        self._contact = contact
        self._hosts = tuple(hosts)
        self._now_s = now_s
        self._tokens: dict[str, tuple[str, float]] = {}

    @property
    def public_key(self) -> bytes:
        """See PushServices.public_key."""
        return public_bytes(self._key.public_key())

    def accepts(self, endpoint: Endpoint) -> bool:
        """See PushServices.accepts."""
        if self._outgoing.refusal(endpoint.url) is not None or len(endpoint.auth) != 16:
            return False
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), endpoint.p256dh)
        except ValueError:
            return False
        return len(endpoint.p256dh) == 65 and host_is_allowed(urlsplit(endpoint.url).hostname or "", self._hosts)

    async def send(self, endpoint: Endpoint, kind: PushClass) -> tuple[Sent, int]:
        """See PushServices.send."""
        if not self.accepts(endpoint):  # the list of allowed services may have changed since
            return Sent.REFUSED, 0
        body = encrypted(content_of(kind), endpoint, ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16))
        headers = {
            "Authorization": self._authorization(endpoint.url),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_S),
            "Urgency": "high",
        }
        try:
            answer = await self._outgoing.post(endpoint.url, headers, body)
        except NotReached as failed:
            return (Sent.REFUSED if failed.for_good else Sent.LATER), 0
        if 200 <= answer.status < 300:
            return Sent.TAKEN, 0
        if answer.status in _GONE:
            return Sent.GONE, 0
        if answer.status in _LATER or answer.status >= 500:
            return Sent.LATER, answer.retry_after_ms
        return Sent.REFUSED, 0

    def _authorization(self, url: str) -> str:
        """Signed once per push service and half of the signature's life."""
        parts = urlsplit(url)
        audience = f"https://{parts.netloc}"
        now_s = self._now_s()
        token, until_s = self._tokens.get(audience, ("", 0.0))
        if now_s + TOKEN_S / 2 > until_s:
            until_s = now_s + TOKEN_S
            claims = {"aud": audience, "exp": int(until_s), "sub": self._contact}
            token = jwt.encode(claims, self._key, algorithm="ES256")
            if len(self._tokens) >= TOKENS_KEPT:
                self._tokens.clear()
            self._tokens[audience] = token, until_s
        key = base64.urlsafe_b64encode(self.public_key).rstrip(b"=").decode()
        return f"vapid t={token}, k={key}"


def _satisfies(services: WebPush) -> PushServices:
    return services
