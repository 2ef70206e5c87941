"""When a device connects, gives a connection up and tries again: one pure machine for every client.

The caller owns one stream at a time and does three things for ever: wait for an event or for `deadline`, feed it to
`handle` or `tick` with its monotonic clock, carry out the effects in order. After `Disconnect` it feeds nothing more of
the dropped stream.

    idle ──start──> connecting ──signed in──> connected
                     ^      |                    |  lost, silent, draining
               retry |      v  failed            v
                    reconnecting <───────────────┘        suspended: no network, waits for `online`
                                                          closed: stopped, or refused by a terminal close code

`MOVES` is the whole table: every pair of state and event is decided. docs/connection.md is drawn from it.

Source: docs/protocol.md, "Connection".
"""

from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct

from rapport_protocol.limits import CLIENT_GIVES_UP_S
from rapport_protocol.messages import CloseCode

__all__ = [
    "ATTEMPT_S",
    "DRAINED_RETRY_S",
    "LASTED_S",
    "MOVES",
    "RETRY_AFTER_MOST_S",
    "RETRY_CEILING_S",
    "Changed",
    "Connect",
    "Connection",
    "ConnectionState",
    "Disconnect",
    "Drain",
    "Effect",
    "Event",
    "Expired",
    "Heard",
    "Lost",
    "Offline",
    "Online",
    "Reason",
    "Refused",
    "SignedIn",
    "Start",
    "Stop",
    "Untrusted",
    "stream_closed",
]

ATTEMPT_S: Final = 20.0
"""Seconds from opening a socket to `hello`: 10 s to connect and twice the 5 s that a server waits for the proof."""
RETRY_CEILING_S: Final = 30.0
"""Full jitter grows to this many seconds: soon enough for people, slow enough for ten thousand clients."""
DRAINED_RETRY_S: Final = 8.0
"""Seconds over which retries spread when a draining node named no time of its own."""
RETRY_AFTER_MOST_S: Final = 120.0
"""Most seconds that a server's `retry_after` is obeyed: a server may ask for patience, not switch a device off."""
LASTED_S: Final = 10.0
"""A connection that held this many seconds was a good one: the next loss starts over with the shortest wait."""


class ConnectionState(StrEnum):
    """Where the connection stands: exactly one of six."""

    IDLE = "idle"
    """Not started."""
    CONNECTING = "connecting"
    """One attempt is under way, from opening the socket to `hello`."""
    CONNECTED = "connected"
    """Signed in."""
    RECONNECTING = "reconnecting"
    """Between two attempts; `deadline` is the next one."""
    SUSPENDED = "suspended"
    """The host says there is no network: nothing is tried until `Online`."""
    CLOSED = "closed"
    """Over. `reason` says why; a new machine is needed to start again."""


class Reason(StrEnum):
    """Why the state changed last."""

    CREATED = "created"
    STARTED = "started"
    SIGNED_IN = "signed_in"
    LOST = "lost"
    """The socket closed, broke or could not be opened."""
    SILENT = "silent"
    """Nothing was heard for 40 s."""
    SLOW_ATTEMPT = "slow_attempt"
    """An attempt took longer than 20 s."""
    DRAINING = "draining"
    """The node went down on purpose."""
    UNTRUSTED = "untrusted"
    """What answered is not the pinned server, or does not keep the contract."""
    RETRY = "retry"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    """The server closed with a terminal code (4500-4999)."""
    STOPPED = "stopped"


# --- events -----------------------------------------------------------------------------------------------------------


class Start(Struct, frozen=True, tag="start"):
    """The host wants to be connected from now on."""


class SignedIn(Struct, frozen=True, tag="signed_in"):
    """`hello` arrived and its signature verified."""


class Heard(Struct, frozen=True, tag="heard"):
    """Any message arrived."""


class Drain(Struct, frozen=True, tag="drain"):
    """`draining` arrived. retry_after_s: this client's own wait, seconds."""

    retry_after_s: float


class Lost(Struct, frozen=True, tag="lost"):
    """The stream is gone or could not be opened, and may be tried again; made by `stream_closed`.

    code: the WebSocket close code, 1006 when there was none. jitter: a fresh random number, 0 <= jitter < 1.
    """

    code: int
    jitter: float


class Refused(Struct, frozen=True, tag="refused"):
    """The server closed with a terminal code; made by `stream_closed`."""

    code: int


class Untrusted(Struct, frozen=True, tag="untrusted"):
    """The server's key or signature is not the pinned one, or its bytes are not messages. jitter: as in Lost.

    Tried again, slowly: another network may lead to the right server.
    """

    jitter: float


class Expired(Struct, frozen=True, tag="expired"):
    """The deadline passed; made by `tick`. jitter: as in Lost."""

    jitter: float


class Online(Struct, frozen=True, tag="online"):
    """The host has a network again, or a person looks at the page."""


class Offline(Struct, frozen=True, tag="offline"):
    """The host knows that there is no network, or goes to sleep."""


class Stop(Struct, frozen=True, tag="stop"):
    """The host is done."""


Event = Start | SignedIn | Heard | Drain | Lost | Refused | Untrusted | Expired | Online | Offline | Stop
"""What the machine is told."""


# --- effects ----------------------------------------------------------------------------------------------------------


class Connect(Struct, frozen=True, tag="connect"):
    """Open one stream and sign in; answer with SignedIn, Lost, Refused or Untrusted."""


class Disconnect(Struct, frozen=True, tag="disconnect"):
    """Close the stream, or cancel the attempt; what it still says is ignored."""


class Changed(Struct, frozen=True, tag="changed"):
    """Tell the host. code: the close code behind it, 0 where there is none."""

    state: ConnectionState
    reason: Reason
    code: int = 0


Effect = Connect | Disconnect | Changed
"""What the caller carries out, in order."""


# --- the table --------------------------------------------------------------------------------------------------------

_I, _C, _UP, _R, _S, _X = ConnectionState

#: One row per event, one column per state: the state afterwards. Unchanged means: taken note of, or too late to matter.
_NEXT: Final[dict[type[Event], tuple[ConnectionState, ...]]] = {
    #           idle connecting connected reconnecting suspended closed
    Start:     (_C,  _C,        _UP,      _R,          _S,       _X),
    SignedIn:  (_I,  _UP,       _UP,      _R,          _S,       _X),
    Heard:     (_I,  _C,        _UP,      _R,          _S,       _X),
    Drain:     (_I,  _C,        _UP,      _R,          _S,       _X),
    Lost:      (_I,  _R,        _R,       _R,          _S,       _X),
    Refused:   (_I,  _X,        _X,       _R,          _S,       _X),
    Untrusted: (_I,  _R,        _R,       _R,          _S,       _X),
    Expired:   (_I,  _R,        _R,       _C,          _S,       _X),
    Online:    (_I,  _C,        _UP,      _C,          _C,       _X),
    Offline:   (_I,  _S,        _S,       _S,          _S,       _X),
    Stop:      (_X,  _X,        _X,       _X,          _X,       _X),
}  # fmt: skip

MOVES: Final[dict[tuple[ConnectionState, type[Event]], ConnectionState]] = {
    (state, event): row[column] for event, row in _NEXT.items() for column, state in enumerate(ConnectionState)
}
"""(state, event) -> state afterwards, for all pairs."""


def stream_closed(code: int | None, jitter: float) -> Lost | Refused:
    """The event for a stream that ended: the range of the close code is the rule, the number is for people.

    code: None when the socket broke or was never opened. jitter: a fresh random number, 0 <= jitter < 1.
    """
    if code is not None and 4500 <= code <= 4999:
        return Refused(code)
    return Lost(1006 if code is None else code, jitter)


class Connection:
    """The machine. Feed it events and monotonic seconds; it never waits, fails or forgets an effect."""

    __slots__ = ("_connected_at", "_failures", "_retry_after_s", "code", "deadline", "reason", "state")

    def __init__(self) -> None:
        self.state = ConnectionState.IDLE
        self.reason = Reason.CREATED
        self.code = 0
        """The close code behind `reason`, 0 where there is none."""
        self.deadline: float | None = None
        """Monotonic second at which the caller must call `tick`; None = nothing is due."""
        self._failures = 0
        """Unsuccessful attempts in a row: the exponent of the back-off."""
        self._retry_after_s: float | None = None
        """What a draining server asked for on the present stream."""
        self._connected_at = 0.0

    def __repr__(self) -> str:
        return f"Connection({self.state}, {self.reason})"

    def tick(self, now: float, jitter: float) -> list[Effect]:
        """The caller's clock reached `now`; early calls change nothing. jitter: a fresh number, 0 <= jitter < 1."""
        if self.deadline is None or now < self.deadline:
            return []
        return self.handle(Expired(jitter), now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take note of one event at monotonic second `now`; returns what the caller does next, in order."""
        before, after = self.state, MOVES[self.state, type(event)]
        if after is before:
            self._note(event, now)
            return []
        self.state, self.reason, self.code = after, self._why(before, event), getattr(event, "code", 0)
        return [*self._enter(before, event, now), Changed(after, self.reason, self.code)]

    def _why(self, before: ConnectionState, event: Event) -> Reason:
        match event:
            case Lost():
                asked = event.code == CloseCode.DRAINING or self._retry_after_s is not None
                return Reason.DRAINING if asked else Reason.LOST
            case Expired():
                return _EXPIRED[before]
            case _:
                return _REASONS[type(event)]

    def _note(self, event: Event, now: float) -> None:
        """What moves nothing may still matter: silence counts from the last message, a wait is remembered."""
        if isinstance(event, Heard) and self.state is ConnectionState.CONNECTED:
            self.deadline = now + CLIENT_GIVES_UP_S
        elif isinstance(event, Drain) and self.state in _STREAMING:
            self._retry_after_s = min(max(event.retry_after_s, 0.0), RETRY_AFTER_MOST_S)

    def _enter(self, before: ConnectionState, event: Event, now: float) -> list[Effect]:
        """Set up the new state; returns what must be done to the stream."""
        gone = isinstance(event, Lost | Refused) or before not in _STREAMING
        drop: list[Effect] = [] if gone else [Disconnect()]
        match self.state:
            case ConnectionState.CONNECTING:
                self.deadline = now + ATTEMPT_S
                self._retry_after_s = None
                return [Connect()]
            case ConnectionState.CONNECTED:
                self.deadline = now + CLIENT_GIVES_UP_S
                self._connected_at = now
                return []
            case ConnectionState.RECONNECTING:
                assert isinstance(event, Lost | Untrusted | Expired)  # noqa: S101 - by the table
                self.deadline = now + self._wait(before, event, now)
                return drop
            case ConnectionState.SUSPENDED | ConnectionState.CLOSED | ConnectionState.IDLE:
                self.deadline = None
                return drop
            case _:
                assert_never(self.state)

    def _wait(self, before: ConnectionState, event: Lost | Untrusted | Expired, now: float) -> float:
        """Seconds until the next attempt, and one failure more.

        A blip (cut without a close code) or a connection that lasted starts over at 0-1 s; one that the server ended
        soon after sign-in counts on, so that nobody hammers a server that takes connections and drops them.
        """
        if before is ConnectionState.CONNECTED:
            cut = isinstance(event, Lost) and event.code == 1006
            if cut or now - self._connected_at >= LASTED_S:
                self._failures = 0
        if self._retry_after_s is not None:
            return self._retry_after_s
        if isinstance(event, Lost) and event.code == CloseCode.DRAINING:
            return event.jitter * DRAINED_RETRY_S
        ceiling = min(RETRY_CEILING_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 5)
        return event.jitter * ceiling


_STREAMING: Final = frozenset({ConnectionState.CONNECTING, ConnectionState.CONNECTED})
"""States in which there is a stream, or one is being opened."""


_REASONS: Final[dict[type[Event], Reason]] = {
    Start: Reason.STARTED,
    SignedIn: Reason.SIGNED_IN,
    Refused: Reason.REFUSED,
    Untrusted: Reason.UNTRUSTED,
    Online: Reason.ONLINE,
    Offline: Reason.OFFLINE,
    Stop: Reason.STOPPED,
}
"""Events that have one reason whatever the state before; Heard and Drain move nothing."""

_EXPIRED: Final = {
    ConnectionState.CONNECTING: Reason.SLOW_ATTEMPT,
    ConnectionState.CONNECTED: Reason.SILENT,
    ConnectionState.RECONNECTING: Reason.RETRY,
}
"""What it means that the deadline of a state passed."""
