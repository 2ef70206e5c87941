"""Signing in from the device's side: prove who we are to the pinned server, and make sure that it is the pinned one.

Source: docs/protocol.md, chapter 9.
"""

from msgspec import Struct

from rapport.engine import catching_up, errands, outbox, prekeys
from rapport.engine.errands import ErrandKind
from rapport.engine.outgoing import Hold
from rapport.engine.reposting import notice_epoch
from rapport.engine.rollback import look_back
from rapport.engine.showing import skip_to
from rapport.engine.turn import Me, Turn
from rapport.ports import Random
from rapport_protocol.errors import ErrorCode, RemoteError
from rapport_protocol.messages import Auth, Challenge, Hello
from rapport_protocol.signed import AuthTranscript, verify_auth_ok

__all__ = ["Proof", "WrongServer", "check_hello", "prove", "signed_in"]


class WrongServer(RemoteError):
    """What answers is not the server that the link or the card named."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INVALID_SIGNATURE, "this is not the server of the invite")


class Proof(Struct, frozen=True):
    """The answer to a challenge, and what `hello` must sign."""

    auth: Auth
    transcript: AuthTranscript


def prove(me: Me, challenge: Challenge, origin: str, state_rev: int, random: Random) -> Proof:
    """Signs the challenge.

    origin: scheme, host and port that the stream really talks to. WrongServer for another key.
    """
    if challenge.server_id != me.server_id:
        raise WrongServer
    nonce = random(32)
    transcript = AuthTranscript(
        origin,
        challenge.server_id,
        challenge.conn,
        challenge.nonce,
        nonce,
        me.account,
        me.device,
        state_rev,
        challenge.server_time_ms,
    )
    return Proof(Auth(me.account, me.device, origin, nonce, state_rev, transcript.sign(me.signing_key())), transcript)


def check_hello(me: Me, proof: Proof, hello: Hello) -> None:
    """Whether the server that answers holds the pinned key and has seen what we signed. WrongServer."""
    try:
        verify_auth_ok(me.server_id, proof.transcript, proof.auth.sig, hello.store_epoch, hello.sig)
    except RemoteError:
        raise WrongServer from None


def signed_in(turn: Turn, hello: Hello, state_rev: int | None = None) -> None:
    """A connection is up.

    Everything that waited for one is due, and what it tells about the server, and about this vault, is taken note of.
    state_rev: the revision that was signed; None = the present one.
    """
    behind = look_back(turn, hello.last_auth, turn.tx.rev if state_rev is None else state_rev)
    catching_up.online(turn, behind=behind)  # before places are skipped: history goes on behind what was shown
    notice_epoch(turn, hello.store_epoch, {base.conv: base.base for base in hello.bases})
    for base in hello.bases:
        skip_to(turn, base.conv, base.base)
    prekeys.prekeys_left(turn, hello.one_time_keys)
    if not errands.planned(turn, ErrandKind.TEND):
        errands.plan(turn, ErrandKind.TEND)
    errands.hurry(turn)
    outbox.resume_all(turn, *(hold for hold in Hold if hold is not Hold.NONE))
