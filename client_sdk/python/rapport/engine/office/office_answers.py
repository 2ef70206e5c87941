"""Automatic answers: what a client is shown in the therapist's name after a text outside of office hours. Pure.

Nobody sends them and nothing keeps them: they follow from the texts and the signed office hours. One stands after the
first text of a client while the office is not open, and the next one only after 15 minutes in which nobody has written.

Source: docs/protocol.md, chapter 16.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rapport.agreements import AutomaticAnswer
from rapport.engine.office.office import Held
from rapport.events import Message, MessageKind
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS
from rapport_protocol.office.status import OfficeStatus, office_state

__all__ = ["QUIET_MS", "automatic_answers"]

QUIET_MS: Final = 15 * 60_000
"""After so long without a text of either side the next one is answered again."""


def automatic_answers(
    messages: Iterable[Message], client: AccountId, documents: Sequence[Held]
) -> list[AutomaticAnswer]:
    """The automatic answers between these messages of one conversation, oldest first.

    documents: the therapist's that are kept, by ascending version; none while hours are not confirmed. A text is judged
    by the newest one that had been signed when it was written. Give messages from some way before those that are
    shown: what stands before the first one is not known here.
    """
    answers: list[AutomaticAnswer] = []
    answered, last_ms = False, None
    for message in messages:
        if message.kind is not MessageKind.TEXT or message.placeholder is not None:
            continue
        if last_ms is not None and message.at_ms - last_ms >= QUIET_MS:
            answered = False
        last_ms = message.at_ms
        held = _standing_at(documents, message.at_ms)
        if message.account != client or answered or held is None:
            continue
        state = office_state(held.hours, message.at_ms)
        if state.status is not OfficeStatus.OPEN:
            answered = True
            due_ms = message.promised_ms or None
            answers.append(AutomaticAnswer(message.id, message.at_ms, state, state.next_open_ms, due_ms))
    return answers


def _standing_at(documents: Sequence[Held], at_ms: int) -> Held | None:
    """The newest document signed by then, if it had not expired."""
    signed = [held for held in documents if held.document.issued_ms - CLOCK_TOLERANCE_MS <= at_ms]
    return signed[-1] if signed and at_ms < signed[-1].document.valid_until_ms else None
