"""One call on one device: when it rings and stops, who is in it, and how it ends. Pure, and the same for every role.

    offering ─> calling ─> ringing_there ──┐
                                           ├─> connecting ─> connected <─> reconnecting ──> ended
    waking <─> ringing_here ─> answering ──┘
    elsewhere (another device of ours) ─> answering (`migrate`)          settling (waits for a sealed word)

The caller feeds everything that concerns the call, with the server's time as it knows it, and `Tick` when `deadline_ms`
has come; it carries out the effects in order. What the server says moves a call; that somebody of ours has answered or
refused is believed only when it is sealed, so that a call which nobody answered is always shown as missed.

Source: docs/protocol.md, section 20.2.
"""

from copy import copy
from typing import Final, Self

from msgspec import Struct

from rapport_protocol.calls.arbiter import KEPT_MS, MISSED, CallPhase, CallStep, EndReason
from rapport_protocol.calls.device_events import (
    SIGNS,
    Accepted,
    AcceptOther,
    Changed,
    CloseMedia,
    Declined,
    Described,
    Effect,
    Entry,
    Event,
    MediaConnected,
    Migrate,
    MissedNotice,
    OtherOffer,
    OurDescription,
    Post,
    Posted,
    Restarted,
    RestartMedia,
    Ring,
    Say,
    Sent,
    StartMedia,
    State,
    StopRing,
    Summary,
    Take,
    Tick,
    Unknown,
    Warn,
)
from rapport_protocol.calls.moves import (
    ANSWERED,
    BY_US,
    EARLY,
    GOODBYE_MS,
    HELD_DESCRIPTIONS,
    IN_CALL,
    MOVES,
    PATIENCE_MS,
    RESTART_EVERY_MS,
    CallSign,
    DevicePhase,
    Outcome,
    last_word,
    lasts_until,
    local_reason,
    says_every_ms,
)
from rapport_protocol.ids import DeviceId, MessageId

__all__ = ["DeviceCall", "step"]

_P = DevicePhase
_TIMERS: Final = (CallSign.EXPIRED, CallSign.STALE, CallSign.RESTART, CallSign.AGAIN)


class DeviceCall(Struct):
    """The machine: all of it is in these fields, so it is stored as it is. It never fails or forgets an effect.

    A new one is told `Online` if its device is. version to away_there: as the server said last; ours, theirs:
    the devices in the call. accepted: somebody of the callee has, sealed (for the caller: the server's word is
    enough); answered_on: which device, says the server alone while `accepted` is False. outcome: once ended; a sealed
    word that comes later may still change it. taken_ms: when this device came into the call; connected_ms: when media
    first flowed here. forged: a description came with another fingerprint.
    """

    entry: Entry
    phase: DevicePhase = _P.ELSEWHERE
    outcome: Outcome | None = None
    reason: EndReason | None = None
    version: int = 0
    server_phase: CallPhase | None = None
    until_ms: int = 0
    ours: DeviceId | None = None
    theirs: DeviceId | None = None
    rings: bool = False
    away_there: bool = False
    sent: bool = True
    accepted: bool = False
    answered_on: DeviceId | None = None
    declined: bool = False
    superseded: bool = False
    forged: bool = False
    taken_ms: int = 0
    connected_ms: int = 0
    # What is under way. asks: how this device came into the call; goodbye: its last word, until the server has heard
    # it; owes: the sealed word that follows then; waits: the person has not hung up; other: a call of theirs that goes
    # on instead of ours if the server says so; pins: the fingerprint of each of their devices; held: descriptions that
    # wait for the server's word; times: what is due when.
    online: bool = False
    asks: CallStep = CallStep.ACCEPT
    goodbye: CallStep | None = None
    owes: Post | None = None
    waits: bool = True
    other: MessageId | None = None
    pins: tuple[tuple[DeviceId, str], ...] = ()
    held: tuple[Described, ...] = ()
    described: bool = False
    flows: bool = False
    times: dict[CallSign, int] = {}

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """A call as it begins on a device: `offering`, `waking`, or `elsewhere` if another device of ours calls."""
        phase = _P.WAKING if entry.incoming else _P.OFFERING if entry.is_own_call else _P.ELSEWHERE
        call = cls(entry, phase, until_ms=entry.rings_until_ms, sent=not entry.is_own_call)
        call.theirs = entry.caller_device if entry.incoming else None
        call.pins = ((entry.caller_device, entry.fingerprint),) if entry.fingerprint and entry.incoming else ()
        call.described = bool(entry.fingerprint) and entry.is_own_call
        call._arm(entry.at_ms)
        return call

    @property
    def deadline_ms(self) -> int | None:
        """When the caller feeds `Tick`, by the server's time; None = nothing is due."""
        return min(self.times.values(), default=None)

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Take note of one event at server time `now_ms`; returns what the caller does next, in order."""
        before = self._shown()
        effects: list[Effect] = []
        if isinstance(event, Tick):
            for sign in _TIMERS:
                if self.times.get(sign, now_ms + 1) <= now_ms:
                    self._set(sign, 0)
                    effects += self._met(sign, event, now_ms)
        else:
            for sign in self._signs(event, now_ms):
                effects += self._met(sign, event, now_ms)
        effects += self._released(now_ms)
        self.outcome = self._judge() if self.phase is _P.ENDED else None
        if self.other is not None and self.waits and self.phase is _P.ENDED and self.reason is EndReason.GLARE:
            effects.append(AcceptOther(self.other))
            self.waits = False
        return [*effects, Changed()] if self._shown() != before else effects

    def _shown(self) -> tuple[object, ...]:
        """What a person may see of it."""
        there = (self.rings, self.away_there, self.theirs, self.answered_on, self.accepted, self.until_ms)
        return (self.phase, self.outcome, self.reason, self.forged, *there)

    def _set(self, sign: CallSign, at_ms: int) -> None:
        """Arms a timer, or with 0 takes it away."""
        times = {each: when for each, when in self.times.items() if each is not sign}
        self.times = {**times, sign: at_ms} if at_ms else times

    def _arm(self, now_ms: int) -> None:
        """Sets when the phase is over by itself."""
        over_ms = self.entry.rings_until_ms
        self._set(CallSign.EXPIRED, lasts_until(self.phase, over_ms, now_ms, accepted=self.accepted))

    # --- what it means ------------------------------------------------------------------------------------------------

    def _signs(self, event: Event, now_ms: int) -> list[CallSign]:
        """Notes what is told, and says what it means here; nothing for what is old or of no concern."""
        match event:
            case State():
                return self._signs_of_state(event, now_ms)
            case MissedNotice():
                self.reason, self.server_phase = event.reason, CallPhase.ENDED
                return [CallSign.MISSED]
            case Unknown():
                self.server_phase = CallPhase.ENDED
                return [CallSign.OVER if self._is_plain() else CallSign.DOUBTED]
            case Accepted() | Declined():
                return self._signs_of_word(event)
            case OtherOffer():
                return [self._sign_of_other(event)]
            case Migrate() if self.server_phase not in (CallPhase.ACCEPTED, CallPhase.CONNECTED):
                return []
            case Restarted():
                self.online = False
                if self.phase is _P.ANSWERING and self.asks is CallStep.MIGRATE:
                    return [CallSign.THERE]
            case Sent():
                self.sent = True
            case Summary():
                self.accepted = self.accepted or event.own or not self.entry.incoming
        return [SIGNS[type(event)]]

    def _signs_of_state(self, event: State, now_ms: int) -> list[CallSign]:
        """The server's word: of two the higher version counts; the same one again confirms that it still holds."""
        incoming = self.entry.incoming
        if event.version < self.version or (
            self.server_phase is CallPhase.ENDED and event.phase is not CallPhase.ENDED
        ):
            return []
        unheard = self._takes_over() and event.ours == self.ours  # said before the server knew that we do
        moved = self.phase in IN_CALL and None not in (self.theirs, event.theirs) and event.theirs != self.theirs
        self.version, self.server_phase, self.until_ms = event.version, event.phase, event.until_ms
        self.rings, self.away_there, self.sent = event.rings, event.away_there, True
        self.ours, self.theirs = event.ours, event.theirs or self.theirs
        match event.phase:
            case CallPhase.RINGING:
                rings = self.online and self._may_ring(now_ms) if incoming else event.rings
                return [CallSign.RINGS if rings else CallSign.STILL]
            case CallPhase.ENDED:
                return [self._sign_of_end(event.reason)]
            case _ if unheard:
                return []
            case _:
                if not self.accepted:
                    self.answered_on = event.ours if incoming else event.theirs
                self.accepted = self.accepted or not incoming
                here = CallSign.HERE if event.ours == self.entry.device else CallSign.THERE
                return [CallSign.MOVED, here] if moved else [here]

    def _sign_of_end(self, reason: EndReason | None) -> CallSign:
        self.reason = reason or self.reason
        if reason in MISSED:
            return CallSign.MISSED
        if not self.entry.incoming:
            self.accepted = self.accepted or reason in ANSWERED
            self.declined = self.declined or reason is EndReason.DECLINED
            self.superseded = self.superseded or reason in (EndReason.GLARE, EndReason.REPLACED)
        return CallSign.OVER if self._is_plain() else CallSign.DOUBTED

    def _is_plain(self) -> bool:
        """Whether the server's word is enough, since it hides no call that was missed here."""
        return not self.entry.incoming or self.accepted or self.declined or self.superseded

    def _signs_of_word(self, event: Accepted | Declined) -> list[CallSign]:
        """Only the callee's devices accept or refuse; for the caller these are never its own."""
        if event.own is not self.entry.incoming:
            return []
        if isinstance(event, Accepted):
            if event.device == self.entry.device:
                return []
            self.accepted, self.answered_on, self.sent = True, event.device, True
            self.reason = None if self.reason in MISSED else self.reason
            return [] if self._takes_over() else [CallSign.OWN_ACCEPTED if event.own else CallSign.ACCEPTED]
        self.declined = self.declined or not event.busy
        if self.phase not in IN_CALL:
            self.reason = self.reason or (EndReason.BUSY if event.busy else EndReason.DECLINED)
        return [CallSign.OWN_DECLINED if event.own else CallSign.DECLINED]

    def _sign_of_other(self, event: OtherOffer) -> CallSign:
        """Of two calls: after glare the higher id goes on, of the same device the later one."""
        entry, glare = self.entry, event.incoming != self.entry.incoming
        wins = event.call > entry.call if glare else event.same_device and event.at_ms > entry.at_ms
        if not wins or event.at_ms >= entry.rings_until_ms:
            return CallSign.OTHER_OFFER
        if glare and entry.is_own_call:
            self.other = max(self.other or event.call, event.call)
        self.superseded = True
        is_over = self.phase is _P.SETTLING and self.server_phase is CallPhase.ENDED
        return CallSign.OVER if is_over else CallSign.SUPERSEDED

    def _takes_over(self) -> bool:
        """The person wants it here, from another device of theirs; the server has not answered to that."""
        return self.phase is _P.ANSWERING and self.asks is CallStep.MIGRATE

    def _may_ring(self, now_ms: int) -> bool:
        return self.entry.may_ring and now_ms < self.entry.rings_until_ms

    # --- what follows -------------------------------------------------------------------------------------------------

    def _met(self, sign: CallSign, event: Event, now_ms: int) -> list[Effect]:
        """Moves by the table; then what the sign asks for wherever it is met."""
        before, after = self.phase, MOVES[self.phase, sign]
        if after is _P.ANSWERING and after is not before:
            self.asks = CallStep.MIGRATE if sign is CallSign.MIGRATE else CallStep.ACCEPT
        effects = self._move(before, after, sign, now_ms) if after is not before else []
        effects += self._noted(sign, event, now_ms)
        return effects + self._noted_late(sign, now_ms) if before is _P.ENDED else effects

    def _move(self, before: DevicePhase, after: DevicePhase, sign: CallSign, now_ms: int) -> list[Effect]:
        """Leaves one phase and enters the other."""
        had_media, has_media = self._has_media(before), self._has_media(after)
        self.phase, self.times = after, {}
        self._arm(now_ms)
        if self.online:
            self._set(CallSign.AGAIN, now_ms + says_every_ms(after, accepted=self.accepted))
        effects: list[Effect] = [StopRing()] if before is _P.RINGING_HERE else []
        if had_media and not has_media:
            effects.append(CloseMedia())
            self.described = self.flows = False
        match after:
            case _P.RINGING_HERE:
                effects.append(Ring())
                self._set(CallSign.STALE, now_ms + KEPT_MS)
            case _P.ANSWERING if sign is CallSign.MIGRATE:
                effects += self._say(now_ms)
            case _P.CONNECTING:
                if not self.accepted:  # who moves it here speaks for one that has not said it
                    self.answered_on = self.entry.device
                    effects.append(Post(Posted.ACCEPTED))
                self.taken_ms, self.accepted = now_ms, True
            case _P.CONNECTED:
                self.connected_ms = self.connected_ms or now_ms
                effects += self._say(now_ms)
            case _P.RECONNECTING:
                self._set(CallSign.RESTART, now_ms + PATIENCE_MS)
            case _P.ENDED:
                effects += self._end(before, sign, now_ms)
        if has_media and not had_media:
            effects.append(StartMedia())
        if after is _P.CONNECTING and self.flows:
            effects += self._met(CallSign.MEDIA_CONNECTED, MediaConnected(), now_ms)
        return effects

    def _has_media(self, phase: DevicePhase) -> bool:
        """Whether the endpoint runs: in the call, and before if our offer described it already, or we accept."""
        if phase is _P.ANSWERING:
            return self.asks is CallStep.ACCEPT  # only who is in the call gets a relay to move it to (21)
        early = self.entry.is_own_call and bool(self.entry.fingerprint)
        return phase in IN_CALL or (early and phase in (_P.CALLING, _P.RINGING_THERE))

    def _noted(self, sign: CallSign, event: Event, now_ms: int) -> list[Effect]:
        """What a sign asks for in the phase that it has led to."""
        match sign:
            case CallSign.ONLINE:
                self.online = True
                restarted = self._restart(now_ms) if self.phase is _P.RECONNECTING else []
                unsure = self.phase is _P.ENDED and self.goodbye is None and self.server_phase is not CallPhase.ENDED
                return [Say(CallStep.KEEP)] if unsure else restarted + self._say(now_ms)
            case CallSign.OFFLINE:
                self.online = False
                self._set(CallSign.AGAIN, 0)
            case CallSign.AGAIN:
                return self._say(now_ms)
            case CallSign.STILL | CallSign.RINGS if self.phase is _P.RINGING_HERE:
                self._set(CallSign.STALE, now_ms + KEPT_MS)
            case CallSign.ACCEPTED | CallSign.SUPERSEDED | CallSign.SENT if self.phase in EARLY:
                return self._say(now_ms)  # a hint may be lost: the answer says how it stands
            case CallSign.OWN_ACCEPTED | CallSign.ACCEPTED | CallSign.THERE if self.phase is _P.ELSEWHERE:
                self._arm(now_ms)
            case _:
                return self._noted_of_media(sign, event, now_ms)
        return []

    def _noted_of_media(self, sign: CallSign, event: Event, now_ms: int) -> list[Effect]:
        match sign:
            case CallSign.MEDIA_CONNECTED:
                self.flows = True
                self._set(CallSign.RESTART, 0)
            case CallSign.MEDIA_LOST | CallSign.MEDIA_FAILED:
                self.flows = False
                return self._restart(now_ms) if sign is CallSign.MEDIA_FAILED else []
            case CallSign.RESTART:
                return self._restart(now_ms)
            case CallSign.MOVED:
                self.described = self.flows = False
                self.pins = tuple(pin for pin in self.pins if pin[0] != self.theirs)  # its next description counts anew
                self._set(CallSign.RESTART, now_ms + RESTART_EVERY_MS)
                return [CloseMedia(), StartMedia()]
            case CallSign.OUR_DESCRIPTION if isinstance(event, OurDescription):
                return self._describe(event, now_ms)
            case CallSign.THEIR_DESCRIPTION if isinstance(event, Described) and self.phase is not _P.ENDED:
                self.held = (*self.held, event)[:HELD_DESCRIPTIONS]
        return []

    def _say(self, now_ms: int) -> list[Effect]:
        """Says what is to be said in this phase, and when again."""
        word = self._word(now_ms)
        if not self.online or word is None:
            self._set(CallSign.AGAIN, 0)
            return []
        self._set(CallSign.AGAIN, now_ms + says_every_ms(self.phase, accepted=self.accepted))
        return [word]

    def _word(self, now_ms: int) -> Say | None:
        match self.phase:
            case _P.OFFERING:
                return None
            case _P.WAKING | _P.RINGING_HERE if self._may_ring(now_ms):
                return Say(CallStep.RINGING)
            case _P.ANSWERING:
                return Say(self.asks, with_description=self.described)
            case _P.CONNECTED if self.server_phase is CallPhase.ACCEPTED:
                return Say(CallStep.CONNECTED)
            case _P.ENDED:
                return None if self.goodbye is None else Say(self.goodbye)
            case _:
                return Say(CallStep.KEEP)

    def _describe(self, event: OurDescription, now_ms: int) -> list[Effect]:
        """A description of ours goes out with the step that fits."""
        self.described = True
        if self.phase is _P.ANSWERING:
            return self._say(now_ms)
        if not self.online or self.phase not in IN_CALL:
            return []
        return [Say(CallStep.RESTART if event.restart else CallStep.DESCRIBE, with_description=True)]

    def _restart(self, now_ms: int) -> list[Effect]:
        """Restarts ICE, or asks for it, and looks again later; without a stream it would lead nowhere."""
        if self.phase not in (_P.CONNECTING, _P.RECONNECTING):
            return []
        self._set(CallSign.RESTART, now_ms + RESTART_EVERY_MS)
        return [RestartMedia(owner=not self.entry.incoming)] if self.online else []

    def _released(self, now_ms: int) -> list[Effect]:
        """Descriptions that now are known to be of the device in the call go to the endpoint."""
        effects: list[Effect] = []
        while self.theirs is not None and self._has_media(self.phase):
            ours = next((each for each in self.held if each.device == self.theirs), None)
            if ours is None:
                break
            self.held = tuple(each for each in self.held if each is not ours)
            pinned = dict(self.pins)
            if pinned.setdefault(ours.device, ours.fingerprint) != ours.fingerprint:
                self.forged = True
                effects += [Warn(), *self._met(CallSign.FORGED, ours, now_ms)]
                break
            self.pins = tuple(pinned.items())
            asked = ours.restart and not self.entry.incoming
            effects.append(RestartMedia(owner=True) if asked else Take(ours.message))
        return effects

    # --- how it ends --------------------------------------------------------------------------------------------------

    def _end(self, before: DevicePhase, sign: CallSign, now_ms: int) -> list[Effect]:
        """Says goodbye if we end it, and leaves a word of how long it was."""
        by_us = sign in BY_US
        self.reason = local_reason(before, sign) or self.reason or (EndReason.MISSED if by_us else None)
        self.waits = self.waits and not by_us
        if sign is CallSign.DECLINE or (before is _P.ANSWERING and sign is CallSign.HANG_UP):
            self.declined = True
            self.owes = Post(Posted.DECLINED) if self.asks is not CallStep.MIGRATE else None
        elif sign is CallSign.BUSY:
            self.owes = Post(Posted.DECLINED, busy=True)
        effects = self._leave(last_word(before, sign), now_ms)
        told = self.entry.incoming or self.reason is EndReason.HUNG_UP or sign is CallSign.SUMMARY  # by the other side
        if before in IN_CALL and (by_us or not told):
            effects.append(Post(Posted.SUMMARY, False, self.connected_ms, now_ms, self.reason))
        return effects

    def _leave(self, word: CallStep | None, now_ms: int) -> list[Effect]:
        """The last word, repeated until the server has heard it."""
        self.goodbye = word
        self._set(CallSign.EXPIRED, now_ms + GOODBYE_MS if word is not None else 0)
        return self._say(now_ms)

    def _noted_late(self, sign: CallSign, now_ms: int) -> list[Effect]:
        """After the end: whether the server has heard our last word."""
        match sign:
            case CallSign.STILL | CallSign.RINGS if self.goodbye is CallStep.HANGUP and self.declined:
                self.goodbye = CallStep.DECLINE  # what we had accepted with did not arrive
            case CallSign.HERE if self.goodbye not in (CallStep.HANGUP, CallStep.CANCEL):
                return self._leave(CallStep.HANGUP, now_ms)
            case CallSign.SENT | CallSign.STILL | CallSign.RINGS if self.entry.is_own_call and self.goodbye is None:
                return self._leave(CallStep.CANCEL, now_ms)  # it rings for somebody who has given up
            case CallSign.THERE | CallSign.OWN_ACCEPTED:
                return self._silent(owes=False)
            case CallSign.MISSED | CallSign.OVER | CallSign.DOUBTED:
                return self._silent(owes=self._decided())
            case CallSign.EXPIRED:
                return self._silent(owes=True)
        return []

    def _decided(self) -> bool:
        """Whether it was we who have ended it, as far as the server's reason says."""
        if self.owes is not None and self.owes.busy:
            return self.reason is EndReason.BUSY
        return self.reason not in ANSWERED or self.ours == self.entry.device

    def _silent(self, *, owes: bool) -> list[Effect]:
        """Nothing is said any more; what the person has done is told sealed, unless somebody else was faster."""
        post, self.owes, self.goodbye = self.owes if owes else None, None, None
        self.times = {}
        return [] if post is None else [post]

    def _judge(self) -> Outcome:
        """How the call has ended, from what is known now."""
        if self.accepted:
            return Outcome.ANSWERED
        if not self.sent or self.declined:
            return Outcome.DECLINED if self.sent else Outcome.NOT_SENT
        gave_way = self.superseded and self.reason in (EndReason.GLARE, EndReason.REPLACED)
        return Outcome.SUPERSEDED if gave_way else Outcome.MISSED


def step(call: DeviceCall, event: Event, now_ms: int) -> tuple[DeviceCall, list[Effect]]:
    """As `handle`, on a copy: `call` stays as it is."""
    after = copy(call)
    return after, after.handle(event, now_ms)
