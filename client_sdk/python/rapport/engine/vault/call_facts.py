"""What became of a call, as it stands in the conversation: a fold of the offer and of what devices have said, sealed.

Whatever order the offer, the answers and the summary are met in, live or in the history, the fold ends the same. The
server's word adds nothing here but that a call of ours was given up.

Source: docs/protocol.md, sections 4.8 and 20.2.
"""

from typing import Final

from msgspec.structs import replace

from rapport.calling import CallMedia, CallNote, CallOutcome
from rapport.engine.vault.tables import Row, Table
from rapport_protocol.ids import DeviceId

__all__ = ["CALL_WORDS", "WORDS_MOST", "CallFacts", "CallWord", "note_of", "with_word"]

WORDS_MOST: Final = 256
"""Most calls of which answers are kept before their offer is here; the oldest go first."""


class CallWord(Row, frozen=True):
    """What devices have said about a call, sealed. The first answer of a device of each side counts.

    own_*: by a device of this account; their_*: by one of the other. began_ms, ended_ms, reason: of the summary;
    ended_own: one of ours wrote it, so that it also proves that somebody here has answered.
    """

    own_accepted: DeviceId | None = None
    own_declined: DeviceId | None = None
    own_busy: bool = False
    their_accepted: DeviceId | None = None
    their_declined: DeviceId | None = None
    their_busy: bool = False
    began_ms: int = 0
    ended_ms: int = 0
    reason: str = ""
    ended_own: bool = False

    def accepted(self, device: DeviceId, *, own: bool) -> "CallWord":
        """With `call.accepted` of a device."""
        if own:
            return self if self.own_accepted else replace(self, own_accepted=device)
        return self if self.their_accepted else replace(self, their_accepted=device)

    def declined(self, device: DeviceId, *, busy: bool, own: bool) -> "CallWord":
        """With `call.declined` of a device."""
        if own:
            return self if self.own_declined else replace(self, own_declined=device, own_busy=busy)
        return self if self.their_declined else replace(self, their_declined=device, their_busy=busy)

    def summed_up(self, began_ms: int, ended_ms: int, reason: str, *, own: bool) -> "CallWord":
        """With a `call.summary`: the first one counts, but before all the first of this account."""
        if self.ended_ms and (self.ended_own or not own):
            return self
        return replace(self, began_ms=began_ms, ended_ms=ended_ms, reason=reason, ended_own=own)


class CallFacts(Row, frozen=True):
    """A call in the conversation. incoming: of the other account. over: its ring is.

    ended: the call is, as far as this device knows. gave_up: `cancelled` or `failed`, of an offer of ours that this
    device or the server has given up, or `superseded`. here: the accepted one of ours is this device.
    """

    media: CallMedia
    incoming: bool
    ring_ends_ms: int
    word: CallWord = CallWord()
    over: bool = False
    ended: bool = False
    gave_up: str = ""
    here: bool = False


_TALKED: Final = frozenset({CallOutcome.ANSWERED, CallOutcome.ANSWERED_ELSEWHERE})
CALL_WORDS: Final = Table("call_word", CallWord)
"""By conversation and call, while the offer is not here; order: when it was first heard of."""


def with_word(facts: CallFacts, word: CallWord, device: DeviceId) -> CallFacts:
    """With what devices have said. device: this one."""
    return replace(facts, word=word, here=word.own_accepted == device)


def note_of(facts: CallFacts) -> CallNote:
    """What is shown of it."""
    word = facts.word
    outcome = _incoming(facts) if facts.incoming else _outgoing(facts)
    talked = outcome in _TALKED and 0 < word.began_ms < word.ended_ms
    minutes = -(-(word.ended_ms - word.began_ms) // 60_000) if talked else 0
    shown_on = word.own_accepted if outcome is CallOutcome.ANSWERED_ELSEWHERE else None
    return CallNote(facts.media, facts.incoming, outcome, minutes, shown_on)


def _was_answered(word: CallWord) -> CallOutcome:
    """Of one that is over: whether the two were ever connected."""
    return CallOutcome.FAILED if word.ended_ms and not word.began_ms else CallOutcome.ANSWERED


def _incoming(facts: CallFacts) -> CallOutcome:
    word = facts.word
    if word.own_accepted is not None and not facts.here:
        return CallOutcome.ANSWERED_ELSEWHERE
    if word.own_accepted is not None or word.ended_own:  # that the other side says so proves nothing
        return _was_answered(word) if facts.ended or word.ended_ms else CallOutcome.LIVE
    if word.own_declined is not None:
        return CallOutcome.BUSY if word.own_busy else CallOutcome.DECLINED
    if facts.gave_up:
        return CallOutcome(facts.gave_up)
    return CallOutcome.MISSED if facts.over else CallOutcome.RINGING


def _outgoing(facts: CallFacts) -> CallOutcome:
    word = facts.word
    if word.their_accepted is not None or word.ended_ms:
        return _was_answered(word) if facts.ended or word.ended_ms else CallOutcome.LIVE
    if word.their_declined is not None:
        return CallOutcome.BUSY if word.their_busy else CallOutcome.DECLINED
    if facts.gave_up:
        return CallOutcome(facts.gave_up)
    return CallOutcome.NO_ANSWER if facts.over else CallOutcome.RINGING
