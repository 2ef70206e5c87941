"""Signing in: the server speaks first, the device signs what it was told, the server signs back.

Source: docs/protocol.md, "Signing in".
"""

from collections.abc import Callable, Collection

from msgspec import Struct

from rapport_protocol.errors import ErrorCode, Rejected, RemoteError
from rapport_protocol.ids import StoreEpoch
from rapport_protocol.limits import AUTH_WITHIN_S, TOKEN_LIFE_MS
from rapport_protocol.messages import PROTOCOL_VERSION, Auth, Challenge, ConversationBase, Hello
from rapport_protocol.signed import AuthTranscript, SigningKey, http_token_hash, sign_auth_ok
from rapport_server.ports import Clock, Directory
from rapport_server.records import Principal

__all__ = ["FEATURES", "SignIn", "SignedIn"]

FEATURES: tuple[str, ...] = ()
"""Optional features of this server that a client may ask for; the base protocol has none."""


class SignedIn(Struct, frozen=True):
    """Who proved itself, and the answer to send."""

    principal: Principal
    hello: Hello


class SignIn:
    """Challenges and their answers.

    One per server; holds no state per connection: the challenge itself is handed back by the door.
    """

    def __init__(
        self, directory: Directory, clock: Clock, random: Callable[[int], bytes], origins: Collection[str]
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._random = random
        self._origins = frozenset(origins)
        self._key: SigningKey | None = None
        self._store_epoch = StoreEpoch(bytes(16))

    async def start(self) -> None:
        """Reads the server's key and store epoch. Call before the first challenge."""
        self._key = SigningKey(await self._directory.server_seed())
        self._store_epoch = await self._directory.store_epoch()

    @property
    def server_id(self) -> bytes:
        """The server's Ed25519 public key, 32 bytes: what clients pin."""
        return self._signing_key.public

    def challenge(self) -> Challenge:
        """A fresh challenge; answered within 5 s, and only once (the door keeps it)."""
        return Challenge(self._random(16), self._random(32), self._clock.now_ms(), self._signing_key.public)

    async def answer(self, challenge: Challenge, auth: Auth) -> SignedIn:
        """Checks the device's proof and opens its HTTP token.

        Raises Rejected(UNAUTHENTICATED) for anything wrong, the same for an unknown device, a revoked one, a foreign
        origin and a bad signature, so that nobody learns which; nothing is recorded then.
        """
        if self._clock.now_ms() - challenge.server_time_ms > AUTH_WITHIN_S * 1000 * 2:
            raise _refused()
        record = await self._directory.sign_in(auth.account, auth.device)
        if record is None or auth.origin not in self._origins:
            raise _refused()
        transcript = AuthTranscript(
            auth.origin,
            challenge.server_id,
            challenge.conn,
            challenge.nonce,
            auth.nonce,
            auth.account,
            auth.device,
            auth.state_rev,
            challenge.server_time_ms,
        )
        try:
            transcript.verify(record.signing_key, auth.sig)
        except RemoteError:
            raise _refused() from None
        principal, token, now = record.principal, self._random(32), self._clock.now_ms()
        # Read before: nothing may be waited for between this write, which a revoked device fails, and the hand-over of
        # the connection to whoever closes it on a revocation.
        bases = await self._bases(principal)
        await self._directory.record_auth(
            principal, transcript.encode() + auth.sig, http_token_hash(token), now + TOKEN_LIFE_MS, now
        )
        hello = Hello(
            PROTOCOL_VERSION,
            list(FEATURES),
            self._store_epoch,
            record.last_auth,
            token,
            sign_auth_ok(self._signing_key, transcript, auth.sig, self._store_epoch),
            bases,
            record.one_time_keys,
        )
        return SignedIn(principal, hello)

    async def renew(self, principal: Principal) -> bytes:
        """A fresh HTTP token, 32 bytes; the earlier one lives out its hour."""
        token = self._random(32)
        await self._directory.add_token(principal, http_token_hash(token), self._clock.now_ms() + TOKEN_LIFE_MS)
        return token

    async def principal_of(self, token: bytes) -> Principal:
        """Whom an HTTP token stands for. Raises Rejected(UNAUTHENTICATED)."""
        principal = await self._directory.principal_of_token(http_token_hash(token), self._clock.now_ms())
        if principal is None:
            raise _refused()
        return principal

    async def _bases(self, principal: Principal) -> list[ConversationBase]:
        heads = await self._directory.conversations(principal.practice, principal.account)
        return [ConversationBase(head.conv, head.base) for head in heads if head.base]

    @property
    def _signing_key(self) -> SigningKey:
        if self._key is None:
            raise RuntimeError("sign-in was not started")
        return self._key


def _refused() -> Rejected:
    return Rejected(ErrorCode.UNAUTHENTICATED, "the device could not be recognised")
