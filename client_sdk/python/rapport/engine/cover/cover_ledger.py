"""What was said about covers, as this device has opened it, and what stands by it.

Steps are kept as they were said, also those of a request that is not known (history may bring it later); `cover.py`
decides what counts. Bounded: of the 256 requests with the latest beginning, at most 32 with one person, 16 steps each.

Source: docs/protocol.md, chapter 18.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.covers import CoverSide, CoverStage, CoverState
from rapport.engine.bodies.content import as_map, content_type, parse_content
from rapport.engine.bodies.cover import COVER_KINDS, CoverContent, Heard, fits, fold
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport.engine.views import view_of
from rapport.events import CoverChanged
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.membership_entries import ConversationKind

__all__ = [
    "OFFER_OTHERS_MS",
    "REQUESTS_EACH",
    "REQUESTS_MOST",
    "STEPS_MOST",
    "cover_of",
    "covers",
    "follow",
    "forget_step",
    "making",
    "note_invite",
    "note_over",
    "settle_step",
    "steps_of",
    "take_step",
]

REQUESTS_MOST: Final = 256
"""Most requests that are remembered; the one whose first step came longest ago goes first."""
REQUESTS_EACH: Final = 32
"""Most of them that began with one account: nobody drives out what others have said."""
STEPS_MOST: Final = 16
"""Most steps of one request; an honest one has five."""
OFFER_OTHERS_MS: Final = 15_000
"""The device that asked hands the link on at once; the account's others look after this time whether one has."""


class _Step(Row, frozen=True):
    """One step: see Heard. type, content: as in the body."""

    request: bytes
    type: str
    content: bytes
    conv: ConversationId
    by: AccountId
    device: DeviceId
    other: AccountId
    seq: int
    at_ms: int


class _Request(Row, frozen=True):
    """One request on this device.

    of: the other one in the pair where its first step was met. invite: that this device is making to agree, b"" for
    none. over: its link is of no use.
    """

    since_ms: int
    of: AccountId
    invite: bytes = b""
    over: bool = False


_STEPS: Final = Table("cover_step", _Step)
"""By message id; group: request; order: when it was met."""
_REQUESTS: Final = Table("cover", _Request)
"""By request; order: when its first step was met."""


def take_step(turn: Turn, step: Heard) -> bool:
    """Keeps a step that was opened or said here.

    True if it is a bubble to show: in its place, and the first of its kind from this account about this request.
    """
    request = step.content.request
    conversation = CONVERSATIONS.get(turn.tx, step.conv)
    state = conversation.membership if conversation else None
    if conversation is None or state is None or state.kind is not ConversationKind.PAIR:
        return False
    roles = {member.account: member.role for member in view_of(turn, conversation).members}
    by, other = roles.get(step.by), roles.get(step.other)
    if by is None or other is None or not fits(step.content, by, other):
        return False
    held = steps_of(turn, request)
    if any(known.id == step.id for known in held):
        return type(step.content) in COVER_KINDS
    repeated = any(type(known.content) is type(step.content) and known.by == step.by for known in held)
    if len(held) >= STEPS_MOST:
        return False
    before = cover_of(turn, request)
    _make_room(turn, request, step.other if step.by == turn.me.account else step.by)
    _keep(turn, step)
    if cover_of(turn, request) != before:
        turn.show(CoverChanged(request))
    return type(step.content) in COVER_KINDS and not repeated


def _make_room(turn: Turn, request: bytes, of: AccountId) -> None:
    """Remembers a new request; the oldest of the same person, or of all, makes room for it."""
    if _REQUESTS.has(turn.tx, request):
        return
    known = [(key, held.of) for key, held in _REQUESTS.list(turn.tx)]
    same = [key for key, whose in known if whose == of]
    if len(same) >= REQUESTS_EACH or len(known) >= REQUESTS_MOST:
        oldest = same[0] if len(same) >= REQUESTS_EACH else known[0][0]
        _REQUESTS.delete(turn.tx, oldest)
        for key, _ in list(_STEPS.list(turn.tx, oldest)):
            _STEPS.delete(turn.tx, key)
    _REQUESTS.put(turn.tx, request, _Request(turn.now_ms, of), order=turn.now_ms)


def _keep(turn: Turn, step: Heard) -> None:
    record = _Step(
        step.content.request, content_type(step.content), msgspec.msgpack.encode(as_map(step.content)),
        step.conv, step.by, step.device, step.other, step.seq, step.at_ms,
    )  # fmt: skip
    _STEPS.put(turn.tx, step.id, record, group=record.request, order=turn.now_ms)


def settle_step(turn: Turn, message: MessageId, seq: int, at_ms: int) -> None:
    """The server has given our own step its place."""
    held = _STEPS.get(turn.tx, message)
    if held is not None:
        before = cover_of(turn, held.request)
        after = replace(held, seq=seq, at_ms=at_ms)
        _STEPS.put(turn.tx, message, after, group=held.request, order=turn.now_ms)
        if cover_of(turn, held.request) != before:
            turn.show(CoverChanged(held.request))


def forget_step(turn: Turn, message: MessageId) -> None:
    """The server will never take our own step: it was not said."""
    held = _STEPS.get(turn.tx, message)
    if held is not None:
        _STEPS.delete(turn.tx, message)
        turn.show(CoverChanged(held.request))


def follow(turn: Turn, content: CoverContent) -> None:
    """A step has just come: a colleague's yes is handed on to the client, by the device that has asked first."""
    state = cover_of(turn, content.request)
    if state is None or state.side is not CoverSide.THERAPIST or state.stage is not CoverStage.READY:
        return
    asked = [step for step in steps_of(turn, content.request) if step.device == turn.me.device]
    errands.plan(turn, ErrandKind.COVER, content.request, due_ms=turn.now_ms + (0 if asked else OFFER_OTHERS_MS))


# --- what stands ------------------------------------------------------------------------------------------------------


def steps_of(turn: Turn, request: bytes) -> list[Heard]:
    """The steps of a request as they were met."""
    found = []
    for key, held in _STEPS.list(turn.tx, request):
        try:
            content = parse_content(held.type, msgspec.msgpack.decode(held.content))
        except (FormatError, msgspec.DecodeError):
            continue  # of another version that wrote into this vault
        if isinstance(content, CoverContent):
            message = MessageId(key)
            found.append(Heard(content, message, held.conv, held.by, held.device, held.other, held.seq, held.at_ms))
    return found


def cover_of(turn: Turn, request: bytes) -> CoverState | None:
    """What has come of a request; None for one that is not known or not for us."""
    held = _REQUESTS.get(turn.tx, request)
    if held is None:
        return None
    state = fold(turn.me.account, steps_of(turn, request), turn.now_ms, over=held.over)
    if state is not None and held.invite and state.side is CoverSide.COLLEAGUE and state.stage is CoverStage.ASKED:
        return replace(state, stage=CoverStage.AGREEING)
    return state


def covers(turn: Turn) -> list[CoverState]:
    """All that are remembered, the newest word first."""
    found = [cover_of(turn, key) for key, _ in list(_REQUESTS.list(turn.tx))]
    return sorted((state for state in found if state is not None), key=lambda state: -state.at_ms)


def note_invite(turn: Turn, request: bytes, invite: bytes) -> None:
    """This device makes this invite to agree; b"" = no longer."""
    held = _REQUESTS.get(turn.tx, request)
    if held is not None:
        _REQUESTS.put(turn.tx, request, replace(held, invite=invite), order=held.since_ms)
        turn.show(CoverChanged(request))


def making(turn: Turn, invite: bytes) -> bytes | None:
    """The request that the invite is made for."""
    return next((key for key, held in _REQUESTS.list(turn.tx) if held.invite == invite), None)


def note_over(turn: Turn, request: bytes) -> None:
    """The offered link was tried: it is of no use any more."""
    held = _REQUESTS.get(turn.tx, request)
    if held is not None:
        _REQUESTS.put(turn.tx, request, replace(held, over=True), order=held.since_ms)
        turn.show(CoverChanged(request))
