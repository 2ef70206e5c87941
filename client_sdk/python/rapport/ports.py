"""What the engine needs from the outside world, as narrow protocols with their promises in prose.

Adapters: `adapters/websocket.py` and `adapters/http.py` (the network), `adapters/vault_sqlite.py` and
`adapters/vault_memory.py` (storage), `adapters/clock.py`, `adapters/aiortc_endpoint.py` (media of calls). Tests drive
the same engine through in-memory ones.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Protocol, TypeVar

from msgspec import Meta, Struct

from rapport_protocol.calls.quality import Sample
from rapport_protocol.errors import ErrorCode, RapportError
from rapport_protocol.limits import DESCRIPTION_BYTES
from rapport_protocol.meeting import TurnCredentials
from rapport_protocol.messages import ClientMessage, ServerMessage

__all__ = [
    "Api",
    "CallEndpoint",
    "Candidates",
    "Clock",
    "Connector",
    "Description",
    "EndpointEvent",
    "MediaConnected",
    "MediaFailed",
    "MediaLost",
    "MediaStats",
    "Random",
    "Stream",
    "StreamClosed",
    "Transaction",
    "Unreachable",
    "Vault",
    "VaultKey",
    "VaultLocked",
    "VaultProblem",
]

Result = TypeVar("Result")

Random = Callable[[int], bytes]
"""So many bytes from the operating system's generator (tests pass a seeded one)."""


class StreamClosed(RapportError):
    """The stream is gone or could not be opened; what was sent may or may not have arrived. The engine reconnects.

    close_code: the WebSocket close code, None when the socket broke or was never opened.
    """

    def __init__(self, close_code: int | None = None) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the stream is closed")
        self.close_code = close_code


class Unreachable(RapportError):
    """A request got no answer: it is not known whether it was done. Every operation may be repeated."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the server did not answer")


class VaultProblem(RapportError):
    """The vault cannot be opened, read or written; `detail` is one sentence for the person. Nothing was changed."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, detail)


class VaultLocked(VaultProblem):
    """Another process (or another client in this one) holds the vault: a device has exactly one writer."""

    def __init__(self) -> None:
        super().__init__("the vault is in use by another process")


class Clock(Protocol):
    """Time, so that tests can hold it in the hand."""

    def now_ms(self) -> int:
        """This machine's Unix time in milliseconds: advisory, never compared with a server's."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class Transaction(Protocol):
    """The inside of one vault transaction: synchronous, seen by nobody until it commits.

    rev: the vault's revision: how many transactions have written to it. Sent as `state_rev` at sign-in.

    A record is (table, key) -> value. Keys are looked up by a keyed hash and values are sealed, so neither table
    contents nor keys can be read from the file. `group` and `order` allow listing: records of one group by ascending
    order.
    """

    @property
    def rev(self) -> int:
        """The revision before this transaction; it grows by one if this one writes."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Leaving by an exception undoes what was written inside, and the exception goes on.

        The rest of the transaction stays.
        """

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value, or None."""

    def put(self, table: str, key: bytes, value: bytes, *, group: bytes = b"", order: int = 0) -> None:
        """Adds or replaces a record. order: 0 to 2^53-1, stored in the clear (places, times in ms; never content)."""

    def delete(self, table: str, key: bytes) -> None:
        """Removes a record; no error when it is absent."""

    def list(
        self,
        table: str,
        group: bytes = b"",
        *,
        above: int = -1,
        below: int | None = None,
        limit: int = 0,
        newest_first: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of one group by order, equal ones by age; above and below are exclusive; limit 0 = all.

        What is listed was read at the call: writing while iterating is safe.
        """

    def count(self, table: str, group: bytes = b"") -> int:
        """How many records the group holds."""

    def purge(self) -> None:
        """What this transaction deletes or replaces shall be gone from the storage once it has committed.

        As far as the storage can say: what lies beneath it (a flash memory's spare blocks, snapshots, backups) is not
        reached.
        """


class VaultKey(Protocol):
    """Where VK, the 32-byte key that seals a vault, is kept: in a file or in the session's keyring."""

    def load(self) -> bytes | None:
        """The key, or None when there is none yet. Raises VaultProblem when it cannot be read or is not safe to use."""

    def store(self, key: bytes) -> None:
        """Keeps a new key durably; never replaces one. Raises VaultProblem."""


class Vault(Protocol):
    """The device's own encrypted storage.

    One process holds it (lock file); one transaction runs at a time, in order of asking.
    """

    async def run(self, step: Callable[[Transaction], Result]) -> Result:
        """Runs a step in one durable transaction: committed and synced when this returns; raised = rolled back.

        The step is synchronous, so a state change is never torn by cancellation. When the *caller* is cancelled the
        step still completes and commits; its result is lost, so effects must be recoverable from the vault. Raises
        VaultProblem when the storage cannot write or another writer was there.
        """

    async def close(self) -> None:
        """Finishes the running step, closes the file, releases the lock."""


class Stream(Protocol):
    """One live connection: whole messages in and out, in order. Not yet signed in."""

    async def send(self, message: ClientMessage) -> None:
        """Queues a message; waits when the socket is full. Raises StreamClosed."""

    async def receive(self) -> ServerMessage | None:
        """The next message.

        Unknown tags are counted and skipped; None after a close. Raises StreamClosed for a broken socket.
        """

    async def close(self) -> None:
        """Closes cleanly, within a second."""

    @property
    def close_code(self) -> int | None:
        """The WebSocket close code once closed (1006 when there was none)."""

    @property
    def origin(self) -> str:
        """scheme://host[:port] that this stream talks to: signed at sign-in, so that a proof cannot be relayed."""


class Connector(Protocol):
    """Opens streams to one server."""

    async def connect(self) -> Stream:
        """One attempt, at most 10 s. Raises StreamClosed when the server cannot be reached."""


class Api(Protocol):
    """HTTP operations of `rapport_protocol.requests.OPERATIONS`."""

    async def call(
        self,
        operation: str,
        body: Struct | None = None,
        *,
        path: Mapping[str, bytes] | None = None,
        query: Mapping[str, int | str] | None = None,
        token: bytes | None = None,
    ) -> Struct:
        """One request, at most 20 s. Path values are ids (sent as hexadecimal). Returns the operation's response type.

        Raises Rejected with the server's code, or Unreachable when there was no answer; then it is not known whether it
        was done, and the request may be repeated since every operation is idempotent.
        """

    async def close(self) -> None:
        """Closes idle connections."""


# --- media of calls ---------------------------------------------------------------------------------------------------


class Description(Struct, frozen=True, array_like=True):
    """A session description (RFC 8866). kind: `offer` or `answer`. Its repr shows nothing of it."""

    kind: Annotated[str, Meta(pattern=r"^(offer|answer)\Z")]
    sdp: Annotated[str, Meta(max_length=DESCRIPTION_BYTES)]

    def __repr__(self) -> str:
        return f"Description({self.kind})"


class Candidates(Struct, frozen=True):
    """Further ICE candidates of our own description: (mid, text as in `a=candidate`). last: no more follow."""

    candidates: tuple[tuple[str, str], ...]
    last: bool = False

    def __repr__(self) -> str:
        return f"Candidates({len(self.candidates)})"


class MediaConnected(Struct, frozen=True):
    """Media can flow: ICE and DTLS stand, for the first time or again."""


class MediaLost(Struct, frozen=True):
    """The way is interrupted and may come back by itself, or by a restart."""


class MediaFailed(Struct, frozen=True):
    """There is no way, and this endpoint finds none."""


class MediaStats(Struct, frozen=True):
    """What has come so far: frames decoded, and packets of them received; said about twice a second.

    received, sent: the counters of what comes and, as far as the other side has said, of what arrives there.
    """

    frames: int
    packets: int
    received: Sample = Sample(0, 0, 0)
    sent: Sample = Sample(0, 0, 0)


EndpointEvent = Candidates | MediaConnected | MediaLost | MediaFailed | MediaStats


class CallEndpoint(Protocol):
    """The media of one side of one call: a peer connection (W3C WebRTC 1.0). Knows no keys and no server.

    The engine seals what it describes and opens what the other side does. Used for one call, then closed.
    """

    @property
    def gathers_first(self) -> bool:
        """Whether its candidates are part of its description: then it needs the relay's credentials before that."""

    @property
    def restarts(self) -> bool:
        """Whether it can restart ICE."""

    async def start(self, credentials: TurnCredentials | None, media: str, *, relay_only: bool) -> None:
        """Before anything else. media: `audio` or `video`. Once more with credentials, if there were none before."""

    async def describe(self) -> Description:
        """An offer of ours. Raises what its library raises: the call then fails."""

    async def answer(self, offer: Description) -> Description:
        """Takes the other side's offer and answers it."""

    async def take(self, answer: Description) -> None:
        """Takes the other side's answer to our offer."""

    async def add_candidates(self, candidates: Sequence[tuple[str, str]]) -> None:
        """Further candidates of the other side, (mid, text); one that cannot be read is left out."""

    def events(self) -> AsyncIterator[EndpointEvent]:
        """What happens, until it is closed. For one reader."""

    async def restart(self, credentials: TurnCredentials | None) -> Description:
        """An offer with new ICE credentials and the same fingerprint, after the network has changed."""

    async def set_mode(self, mode: str, bits_per_s: int) -> None:
        """What is sent from now on, on further connections too: `video`, `audio`, or `text` for nothing.

        bits_per_s: the most that it may take.
        """

    def another(self) -> "CallEndpoint":
        """A fresh one with the same devices, for when the other side turns out to be another device."""

    async def close(self) -> None:
        """Ends media and frees what they used; no error when it was closed before."""
