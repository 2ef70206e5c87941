"""Signing in from the device's side: prove who we are to the pinned server, and make sure that it is the pinned one.

Source: docs/protocol.md, chapter 9.
"""

from msgspec import Struct

from rapport.engine import outbox
from rapport.engine.calls import calls
from rapport.engine.keys import prekeys
from rapport.engine.office import office_publishing
from rapport.engine.recovery import catching_up
from rapport.engine.recovery.reposting import notice_epoch
from rapport.engine.recovery.rollback import look_back
from rapport.engine.shown.showing import number_on
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import Hold
from rapport.engine.vault.turn import Me, Turn
from rapport.engine.vault.upkeep import amend_upkeep, upkeep_of
from rapport.ports import Random
from rapport_protocol.errors import ErrorCode, RemoteError
from rapport_protocol.messages import Auth, Challenge, Hello
from rapport_protocol.signed import AuthTranscript, verify_auth_ok

__all__ = ["Proof", "VaultState", "WrongServer", "check_hello", "prepare", "prove", "signed_in"]


class WrongServer(RemoteError):
    """What answers is not the server that the link or the card named."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INVALID_SIGNATURE, "this is not the server of the invite")


class VaultState(Struct, frozen=True):
    """How far the vault is as it signs in, by which a later state of it is told from this one.

    rev: the revision to sign. signed_rev: the one that was signed the last time, 0 = never.
    """

    rev: int
    signed_rev: int


class Proof(Struct, frozen=True):
    """The answer to a challenge, and what `hello` must sign."""

    auth: Auth
    transcript: AuthTranscript


def prepare(turn: Turn) -> VaultState:
    """Notes the revision that is about to be signed. To be committed before the answer to the challenge leaves."""
    state = VaultState(turn.tx.rev, upkeep_of(turn).signed_rev)
    amend_upkeep(turn, signed_rev=state.rev)
    return state


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


def signed_in(turn: Turn, hello: Hello, state: VaultState) -> None:
    """A connection is up.

    Everything that waited for one is due, and what it tells about the server, and about this vault, is taken note of.
    state: of the vault as it was prepared for this sign-in.
    """
    forgotten = hello.last_auth is None and state.signed_rev > 0  # what a restored server took meanwhile never waited
    behind = look_back(turn, hello.last_auth, state.rev, state.signed_rev) or forgotten
    calls.offline(turn)  # until everything that waits is here
    catching_up.online(turn, behind=behind)
    bases = {base.conv: base.base for base in hello.bases}
    notice_epoch(turn, hello.store_epoch, bases)
    number_on(turn, bases)
    prekeys.prekeys_left(turn, hello.one_time_keys)
    if not errands.planned(turn, ErrandKind.TEND):
        errands.plan(turn, ErrandKind.TEND)
    office_publishing.tend(turn)
    errands.hurry(turn)
    outbox.resume_all(turn, *(hold for hold in Hold if hold is not Hold.NONE))
