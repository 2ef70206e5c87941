"""Calls in words: as they stand in the conversation, and when something happens. A terminal has no picture or sound."""

from typing import Final

import rapport
from rapport.calling import CallChanged, CallMissed, CallNote, CallOutcome, CallRefused, CallRinging, CallView
from rapport.chat.names import Names
from rapport.chat.words import clock
from rapport.events import Event
from rapport_protocol.ids import MessageId

__all__ = ["CallTeller", "call_body", "call_line"]

_HOW: Final = "Answer on a device with a microphone, or /decline."
_INCOMING: Final = {
    CallOutcome.RINGING: "{name} is calling.",
    CallOutcome.LIVE: "A call with {name}; it goes on.",
    CallOutcome.MISSED: "A call from {name} that nobody answered.",
    CallOutcome.CANCELLED: "A call from {name} that nobody answered.",
    CallOutcome.DECLINED: "A call from {name}, declined.",
    CallOutcome.BUSY: "A call from {name}, while you were in another one.",
    CallOutcome.ANSWERED: "A call with {name}{minutes}.",
    CallOutcome.ANSWERED_ELSEWHERE: "A call with {name}{minutes}, answered on another of your devices.",
    CallOutcome.FAILED: "A call from {name}; the two devices could not be connected.",
    CallOutcome.NO_ANSWER: "A call from {name} that nobody answered.",
    CallOutcome.SUPERSEDED: "A call from {name}, in whose place another one went on.",
}
_OUTGOING: Final = {
    CallOutcome.RINGING: "You are calling.",
    CallOutcome.LIVE: "A call; it goes on.",
    CallOutcome.MISSED: "You called; nobody answered.",
    CallOutcome.CANCELLED: "You called, and hung up before anybody answered.",
    CallOutcome.DECLINED: "You called; it was declined.",
    CallOutcome.BUSY: "You called; the other device was in another call.",
    CallOutcome.ANSWERED: "You called{minutes}.",
    CallOutcome.ANSWERED_ELSEWHERE: "You called{minutes}.",
    CallOutcome.FAILED: "You called; it could not be put through.",
    CallOutcome.NO_ANSWER: "You called; nobody answered.",
    CallOutcome.SUPERSEDED: "You called; another call went on in its place.",
}


def call_body(note: CallNote | None, name: str) -> str:
    """A call as it stands in the conversation. name: of the other one where they have called."""
    if note is None:
        return "A call."
    words = (_INCOMING if note.incoming else _OUTGOING)[note.outcome]
    minutes = f", {note.minutes} min" if note.minutes else ""
    return words.replace("{minutes}", minutes).replace("{name}", name)


def call_line(view: CallView, names: Names) -> str:
    """A call that lives, in a list."""
    name, at = names.of(view.with_account), clock(view.at_ms)
    if view.answered_elsewhere:
        return f"With {name} since {at}, on another of your devices; /call here takes it over."
    if view.can_answer:
        return f"{name} is calling since {at}. {_HOW}"
    return f"With {name} since {at}."


class CallTeller:
    """Says once what happens with calls. It remembers which ones it has said to be ringing."""

    def __init__(self, client: rapport.Client, names: Names) -> None:
        self._client = client
        self._names = names
        self._ringing: dict[MessageId, str] = {}

    def words(self, event: Event) -> str:
        """A sentence about the event, "" for nothing."""
        match event:
            case CallRinging(_, call):
                self._ringing[call] = (
                    f"{self._name(call)} is calling. Answer on a device with a microphone, or /decline."
                )
                return self._ringing[call]
            case CallMissed(_, call, at_ms):
                return f"You missed a call from {self._name(call)} at {clock(at_ms)}."
            case CallRefused(_, call):
                name = self._name(call)
                return (
                    f"The call with {name} was ended: all at once somebody else's device was at the other end. "
                    "Compare safety numbers before you call again: /verify."
                )
            case CallChanged(_, call) if call in self._ringing and self._elsewhere(call):
                return f"Another device of yours has answered the call of {self._name(call)}."
            case _:
                return ""

    def over(self, event: Event) -> str:
        """What was said of a call and is no longer so: it rings no more. "" for nothing."""
        if isinstance(event, CallChanged | CallMissed | CallRefused) and event.call in self._ringing:
            view = self._client.calls.of(event.call)
            if view is None or not view.can_answer:
                return self._ringing.pop(event.call)
        return ""

    def _elsewhere(self, call: MessageId) -> bool:
        view = self._client.calls.of(call)
        return view is not None and view.answered_on is not None

    def _name(self, call: MessageId) -> str:
        view = self._client.calls.of(call)
        return self._names.of(view.with_account) if view is not None else "Somebody"
