"""Cover and hand-over: who may say what where, and what has come of it. Pure: steps in, state out.

    request        therapist  to colleague   in their pair
    ready/refused  colleague  to therapist   in that pair
    offer          therapist  to client      in theirs, names that colleague and carries that link
    accepted/refused  client  to therapist   in that pair
    card           therapist  to colleague   in the pair of the request

Every device folds the steps that it has opened, in whatever order it met them. Of several steps in one place the one
that the server accepted first counts, our own that waits in the outbox last: all devices come to the same.

Source: docs/protocol.md, chapter 18.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec import Struct

from rapport.covers import CoverSide, CoverStage, CoverState
from rapport.engine.bodies.agreements import (
    CoverAccepted,
    CoverCard,
    CoverOffer,
    CoverReady,
    CoverRefused,
    CoverRequest,
)
from rapport.events import MessageKind
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.limits import INVITE_LIFE_MS, MAX_INTEGER
from rapport_protocol.requests import Role

__all__ = ["COVER_KINDS", "CoverContent", "Heard", "fits", "fold", "link_in"]

CoverContent = CoverRequest | CoverReady | CoverRefused | CoverOffer | CoverAccepted | CoverCard
"""What is said about a cover."""

COVER_KINDS: Final[dict[type, MessageKind]] = {
    CoverRequest: MessageKind.COVER_REQUEST,
    CoverOffer: MessageKind.COVER_OFFER,
    CoverCard: MessageKind.COVER_CARD,
}
"""Steps that stand in their conversation for people to read; the others are control posts."""

_ADMINS: Final = frozenset({Role.OWNER, Role.THERAPIST})
_COLLEAGUES: Final = (_ADMINS, _ADMINS)
_TO_CLIENT: Final = (_ADMINS, frozenset({Role.CLIENT}))
_BY_CLIENT: Final = (frozenset({Role.CLIENT}), _ADMINS)

_WHO: Final[dict[type, tuple[tuple[frozenset[Role], frozenset[Role]], ...]]] = {
    CoverRequest: (_COLLEAGUES,),
    CoverReady: (_COLLEAGUES,),
    CoverRefused: (_COLLEAGUES, _BY_CLIENT),
    CoverOffer: (_TO_CLIENT,),
    CoverAccepted: (_BY_CLIENT,),
    CoverCard: (_COLLEAGUES,),
}
"""Per step: the role of whoever says it, and that of the other member of the pair."""


class Heard(Struct, frozen=True):
    """One step as it was said, in a pair of `by` and `other`. seq: 0 while it waits in our outbox."""

    content: CoverContent
    id: MessageId
    conv: ConversationId
    by: AccountId
    device: DeviceId
    other: AccountId
    seq: int
    at_ms: int


def fits(content: CoverContent, by: Role, other: Role) -> bool:
    """Whether somebody of this role may say this in a pair with somebody of that role."""
    return any(by in speakers and other in listeners for speakers, listeners in _WHO[type(content)])


C = TypeVar("C", bound=CoverContent)


class _Said(NamedTuple):
    """The steps of one request, each kind where it belongs; None = not said, or not by whom it must be."""

    request: Heard | None = None
    answer: Heard | None = None
    offer: Heard | None = None
    consent: Heard | None = None
    card: Heard | None = None


def fold(me: AccountId, steps: Sequence[Heard], now_ms: int, *, over: bool = False) -> CoverState | None:
    """What has come of one request, seen by our account; None when nothing in it is for us.

    over: the link was tried and is of no use any more.
    """
    request = _first(steps, (CoverRequest,), lambda step: step.by == me)
    if request is not None:
        return _as_therapist(_said(steps, request, me), now_ms)
    request = _first(steps, (CoverRequest,), lambda step: step.other == me)
    if request is not None:
        return _as_colleague(_said(steps, request, me), now_ms)
    offer = _offer_to(me, steps)
    return None if offer is None else _as_client(steps, offer, now_ms, over=over)


def link_in(me: AccountId, steps: Sequence[Heard]) -> str | None:
    """The link that counts: for the therapist the colleague's, for the client the offered one."""
    request = _first(steps, (CoverRequest,), lambda step: step.by == me)
    said = _said(steps, request, me).answer if request is not None else _offer_to(me, steps)
    return said.content.link if said is not None and isinstance(said.content, CoverReady | CoverOffer) else None


def _offer_to(me: AccountId, steps: Sequence[Heard]) -> Heard | None:
    return _first(steps, (CoverOffer,), lambda step: step.other == me and _names_a_third(step))


def _said(steps: Sequence[Heard], request: Heard, me: AccountId) -> _Said:
    therapist, colleague, client = request.by, request.other, _content(request, CoverRequest).client
    if client in (therapist, colleague):
        return _Said(request)
    in_pair = [step for step in steps if step.conv == request.conv]
    answer = _first(in_pair, (CoverReady, CoverRefused), lambda step: step.by == colleague)
    card = _first(in_pair, (CoverCard,), lambda step: step.by == therapist)
    offer = _first(steps, (CoverOffer,), lambda step: step.by == me and step.other == client)
    return _Said(request, answer, offer, _consent(steps, offer), card)


def _consent(steps: Sequence[Heard], offer: Heard | None) -> Heard | None:
    if offer is None:
        return None
    kinds = (CoverAccepted, CoverRefused)
    return _first(steps, kinds, lambda step: step.conv == offer.conv and step.by == offer.other)


def _names_a_third(step: Heard) -> bool:
    return _content(step, CoverOffer).colleague not in (step.by, step.other)


def _first(steps: Iterable[Heard], kinds: tuple[type, ...], by: Callable[[Heard], bool]) -> Heard | None:
    """The step that the server accepted first; of two that wait, or stand in different places, the older one."""
    found = (step for step in steps if isinstance(step.content, kinds) and by(step))
    return min(found, key=lambda step: (step.seq or MAX_INTEGER, step.at_ms, step.id), default=None)


def _content(step: Heard, kind: type[C]) -> C:
    if not isinstance(step.content, kind):  # it was chosen by its kind
        raise LocalError(ErrorCode.INTERNAL, "a step is not what it was taken for")
    return step.content


# --- one side each ----------------------------------------------------------------------------------------------------


def _as_therapist(said: _Said, now_ms: int) -> CoverState | None:
    request, answer, offer, consent = said.request, said.answer, said.offer, said.consent
    if request is None:
        return None
    newest, stage = request, CoverStage.ASKED
    if answer is not None:
        newest = answer
        stage = CoverStage.READY if isinstance(answer.content, CoverReady) else CoverStage.REFUSED
    if offer is not None:
        newest, stage = offer, CoverStage.OFFERED
    if consent is not None:
        newest = consent
        stage = CoverStage.ACCEPTED if isinstance(consent.content, CoverAccepted) else CoverStage.DECLINED
    if stage in (CoverStage.READY, CoverStage.OFFERED) and answer is not None:
        stage = _or_over(stage, answer.at_ms, now_ms)
    if said.card is not None and stage is CoverStage.ACCEPTED:
        newest, stage = said.card, CoverStage.HANDED_OVER
    return _state(request, newest, CoverSide.THERAPIST, stage)


def _as_colleague(said: _Said, now_ms: int) -> CoverState | None:
    request, answer, card = said.request, said.answer, said.card
    if request is None:
        return None
    newest, stage = request, CoverStage.ASKED
    if answer is not None:
        newest = answer
        stage = CoverStage.READY if isinstance(answer.content, CoverReady) else CoverStage.REFUSED
    if stage is CoverStage.READY:
        if card is not None:
            newest, stage = card, CoverStage.HANDED_OVER
        else:
            stage = _or_over(stage, newest.at_ms, now_ms)
    return _state(request, newest, CoverSide.COLLEAGUE, stage)


def _as_client(steps: Sequence[Heard], offer: Heard, now_ms: int, *, over: bool) -> CoverState:
    content, consent = _content(offer, CoverOffer), _consent(steps, offer)
    newest = offer if consent is None else consent
    if consent is not None:
        stage = CoverStage.ACCEPTED if isinstance(consent.content, CoverAccepted) else CoverStage.DECLINED
    else:
        stage = CoverStage.OVER if over else _or_over(CoverStage.OFFERED, offer.at_ms, now_ms)
    return CoverState(
        request=content.request,
        side=CoverSide.CLIENT,
        stage=stage,
        conversation=offer.conv,
        therapist=offer.by,
        colleague=content.colleague,
        client=offer.other,
        name=content.name,
        note=content.note,
        lasting=content.lasting,
        at_ms=newest.at_ms,
    )


def _or_over(stage: CoverStage, since_ms: int, now_ms: int) -> CoverStage:
    """An invite works for seven days, and it was made before it was spoken of."""
    return CoverStage.OVER if now_ms >= since_ms + INVITE_LIFE_MS else stage


def _state(request: Heard, newest: Heard, side: CoverSide, stage: CoverStage) -> CoverState:
    content = _content(request, CoverRequest)
    return CoverState(
        request=content.request,
        side=side,
        stage=stage,
        conversation=request.conv,
        therapist=request.by,
        colleague=request.other,
        client=content.client,
        name=content.name,
        note=content.note,
        lasting=content.lasting,
        at_ms=newest.at_ms,
    )
