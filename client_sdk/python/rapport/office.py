"""Who answers, and when: the parts of `Client` and `Conversation` about office hours, promises and the card."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rapport.agreements import AutomaticAnswer, Card, Kept, OfficeShown, OwnOffice, Promised, Waiting
from rapport.engine import cards, promises_said
from rapport.engine.link.loop import Engine
from rapport.engine.office import office_answers, office_publishing, promises, promising
from rapport.engine.views import ConversationView
from rapport.events import Message
from rapport.part import Part
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.office.hours import OfficeHours, OverrideState
from rapport_protocol.office.rules import Repair
from rapport_protocol.office.status import office_state
from rapport_protocol.requests import Holidays

__all__ = ["AnsweringConversation", "AnsweringTimes", "Offices"]


class Offices:
    """Office hours of contacts, and our own with our card; `Client.office`.

    All of it works without a connection but `holidays`. Times are milliseconds of Unix time, by the server's clock.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def mine(self) -> OwnOffice:
        """Our own office hours; `pending` while the newest change is not at the server yet."""
        return self._engine.offices.own

    async def publish(self, hours: OfficeHours) -> tuple[Repair, ...]:
        """Our office hours are these from now on: signed, sent as soon as there is a connection, shown to our contacts.

        Returns what was changed in them so that they are valid, a code and a place each. HoursRefused: they cannot be
        repaired; its `problems` say why. LocalError(FORBIDDEN) for a client. Nothing has changed then. Of several
        devices that change them at once the newest change stands in the end; OfficeChanged tells of it.
        """
        return await self._engine.do(lambda turn: office_publishing.publish(turn, hours))

    async def step_away(self, until_ms: int, state: OverrideState = OverrideState.AWAY) -> None:
        """From now until then our office stands like this, at most 7 days; published like any change.

        HoursRefused for a time that is over or too far ahead; LocalError(NOT_FOUND) without office hours.
        """
        await self._engine.do(lambda turn: office_publishing.step_away(turn, until_ms, state))

    async def come_back(self) -> None:
        """Ends what `step_away` has said. LocalError(NOT_FOUND) without office hours."""
        await self._engine.do(office_publishing.come_back)

    def of(self, account: AccountId) -> OfficeShown:
        """How the office of a therapist or owner stands now, and its hours; also our own."""
        return self._engine.offices.of(account, self._engine.now_ms())

    async def holidays(self, country: str, region: str = "", year: int | None = None) -> Holidays:
        """Public holidays of a country, ISO 3166, for the editor that makes dates of them; needs a connection.

        year: None = this one.

        Rejected (NOT_FOUND: no such country; BAD_FORMAT: no such region or year), Unreachable.
        """
        year = year or datetime.fromtimestamp(self._engine.now_ms() / 1000, UTC).year
        answer = await self._engine.request("office.holidays", {}, {"country": country, "region": region, "year": year})
        if not isinstance(answer, Holidays):
            raise FormatError("holidays")
        return answer

    @property
    def card(self) -> Card | None:
        """Our own card, on all our devices; None = there is none yet."""
        return cards.card_in(self._engine.settings)

    async def set_card(self, card: Card) -> None:
        """Our card is this from now on; every client is sent it, sealed, and new ones have it from their invite.

        LocalError: FORBIDDEN for a client; TOO_LARGE for a text above 1,000 bytes of UTF-8, or above 4,096 bytes of
        JSON in all; TOO_MANY above 6 lines; BAD_FORMAT for a country that is not two capital letters, or a line
        without a name or number or above 80, 40 and 120 characters.
        """
        await self._engine.do(lambda turn: cards.set_card(turn, card))


def _waiting(view: ConversationView, now_ms: int) -> Waiting | None:
    held = view.waiting
    if held is None or held.message is None or view.sides is None:
        return None
    missed = 0 < held.due_ms <= now_ms
    return Waiting(
        view.id, held.message, held.since_ms, held.due_ms or None,
        missed, held.extended, held.slot_wanted, held.urgent,
    )  # fmt: skip


class AnsweringTimes(Part):
    """Office hours, and who waits for an answer of ours. A part of `Client`."""

    @property
    def office(self) -> Offices:
        """Office hours of contacts, and our own with our card."""
        return Offices(self._running)

    def waiting(self) -> list[Waiting]:
        """Clients who wait for an answer of ours: missed promises first, then by when they are due, then the rest."""
        engine = self._running
        now_ms, me = engine.now_ms(), engine.core.me.account
        ours = [view for view in engine.views.values() if view.sides is not None and view.sides.therapist == me]
        found = [waiting for view in ours if (waiting := _waiting(view, now_ms)) is not None]
        return sorted(found, key=lambda each: (each.due_ms is None, each.due_ms or each.since_ms, each.since_ms))

    async def kept(self, since_ms: int, until_ms: int) -> Kept:
        """How many of our promises that were due in this time were kept. Counted here and sent to nobody.

        Whoever puts a promise off keeps it by answering until then. Of what has expired nothing is counted.
        """
        return await self._running.do(lambda turn: promises.kept(turn, since_ms, until_ms))


class AnsweringConversation:
    """Who answers here, and when. A part of `Conversation`."""

    id: ConversationId
    _engine: Engine

    @property
    def _view(self) -> ConversationView:
        return self._engine.views[self.id]

    @property
    def office(self) -> OfficeShown | None:
        """The therapist's office, as a client sees it; None for everybody else, and outside of such pairs."""
        sides = self._view.sides
        if sides is None or sides.client != self._engine.core.me.account:
            return None
        return self._engine.offices.of(sides.therapist, self._engine.now_ms())

    @property
    def card(self) -> Card | None:
        """The therapist's card; for the therapist, what their clients see."""
        view, engine = self._view, self._engine
        if view.sides is not None and view.sides.therapist == engine.core.me.account:
            return cards.card_in(engine.settings)
        return view.card or cards.shared_card(engine.settings, self.id)

    def promise(self) -> Promised | None:
        """By when a text that a client sends now would be answered, and by whom.

        None where nothing is promised: no signed hours that count, or no promise in them. While the therapist is on
        leave it is the promise of the colleague who covers, if the client is in a conversation with them.
        """
        view, engine = self._view, self._engine
        if view.sides is None or view.sides.client != engine.core.me.account:
            return None
        now_ms, therapist = engine.now_ms(), view.sides.therapist
        held = engine.offices.held(therapist, now_ms)
        if held is None:
            return None
        colleague = office_state(held.hours, now_ms).cover
        cover = engine.offices.held(colleague, now_ms) if colleague is not None else None
        due_ms, covered = promising.promise_of(held, cover, now_ms)
        by = colleague if covered and colleague is not None else therapist
        return None if due_ms is None else Promised(due_ms, by)

    @property
    def waiting(self) -> Waiting | None:
        """The client's text that waits for the therapist's answer, for both of them; None if none does."""
        return _waiting(self._view, self._engine.now_ms())

    async def extend_promise(self, until_ms: int) -> None:
        """As the therapist: the waiting text is answered by then instead; the client is told that it was put off.

        LocalError: NOT_FOUND if nothing waits, FORBIDDEN for anybody else, BAD_FORMAT for a time that is over or not
        after the one that was promised.
        """
        await self._engine.do(lambda turn: promises_said.extend(turn, self.id, until_ms))

    async def ask_for_slot(self) -> None:
        """As the client: an appointment would be better than an answer to the waiting text; the therapist sees it.

        LocalError: NOT_FOUND if nothing waits, FORBIDDEN for anybody else.
        """
        await self._engine.do(lambda turn: promises_said.ask_for_slot(turn, self.id))

    def automatic_answers(self, messages: Sequence[Message], now_ms: int | None = None) -> list[AutomaticAnswer]:
        """What is shown between these messages in the therapist's name while the office is not open, oldest first.

        messages: of this conversation, oldest first, as `history` gives them. They are no messages: mark them as
        automatic, and show the card's crisis numbers with them. now_ms: None = now.
        """
        view, engine = self._view, self._engine
        if view.sides is None:
            return []
        office = engine.offices.view(view.sides.therapist)
        if office is None or office.at(engine.now_ms() if now_ms is None else now_ms) is None:
            return []
        return office_answers.automatic_answers(messages, view.sides.client, office.kept)
