"""`rapport.ports.CallEndpoint` on aiortc (the extra `rapport[calls]`): a file or a test picture in, a file out.

    endpoint = AiortcEndpoint()                                 a moving test picture and silence; what comes is counted
    endpoint = AiortcEndpoint(source=Path("in.mp4"), sink=Path("out.mkv"))

What aiortc does not do: its candidates are gathered before it describes, none follow later; it does not restart ICE.
A short cut of the network it survives, since a way counts as lost only after some 30 s without consent (RFC 7675). When
the other side restarts, a new connection with the same certificate takes the place of the old one.
"""

import asyncio
import fractions
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.contrib.media import MediaPlayer, MediaRecorder
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

from rapport.ports import Description, EndpointEvent, MediaConnected, MediaFailed, MediaLost, MediaStats
from rapport_protocol.calls.quality import Sample
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.limits import CANDIDATES_MOST, DESCRIPTION_BYTES
from rapport_protocol.meeting import TurnCredentials

__all__ = ["LOST_AFTER_S", "AiortcEndpoint", "TestPicture"]

LOST_AFTER_S: Final = 2.0
"""Seconds without a packet after which media count as interrupted; of silence one comes every 20 ms."""
_LOOK_EVERY_S: Final = 0.5
_CLOSE_WITHIN_S: Final = 2.0
_GATHER_WITHIN_S: Final = 6.0
"""aioice gives a relay 5 s to answer."""
_EVENTS_MOST: Final = 64
"""Events that wait for their reader; further counts are left out, since the next ones hold them."""
_CERTIFICATES: Final = "_RTCPeerConnection__certificates"
"""Where aiortc keeps the certificate of a connection; it offers no way to give one to another connection."""
_ENCODER: Final = "_RTCRtpSender__encoder"
"""Where it keeps what compresses a track; it offers no way to bound what that makes."""
_CLOCKS: Final = {"audio": 48_000, "video": 90_000}
"""Ticks per second in which jitter is counted (RFC 3550): of Opus, and of every sort of pictures."""
_STALE_S: Final = 5.0
"""So long a report of the other side counts; one comes every second."""
_SENT_BY: Final = {"video": {"audio", "video"}, "audio": {"audio"}}
"""What is sent in a mode; nothing in any other one."""
_WIDTH, _HEIGHT, _FRAME_S = 160, 120, fractions.Fraction(1, 15)


class TestPicture(VideoStreamTrack):
    """A picture of 160 x 120 whose brightness moves, 15 times a second: little work for one core."""

    __test__ = False  # its name is the field's word, not pytest's

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._began_s = 0.0

    async def recv(self) -> VideoFrame:
        """The next picture, when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._began_s = self._began_s or loop.time()
        self._count = max(self._count, int((loop.time() - self._began_s) / _FRAME_S))  # none after a pause
        await asyncio.sleep(max(0.0, self._began_s + float(self._count * _FRAME_S) - loop.time()))
        frame = VideoFrame(width=_WIDTH, height=_HEIGHT)
        for number, plane in enumerate(frame.planes):
            shade = (self._count * 8) % 256 if number == 0 else 128
            plane.update(bytes((shade,)) * plane.buffer_size)
        frame.pts, frame.time_base = self._count, _FRAME_S
        self._count += 1
        return frame


class _Tap(MediaStreamTrack):
    """A track that can be turned off: its source is read on, so that nothing piles up there."""

    def __init__(self, source: MediaStreamTrack) -> None:
        super().__init__()
        self.kind = source.kind
        self.is_on = True
        self._source = source

    async def recv(self) -> Any:
        """The next piece while it is on."""
        while True:
            piece = await self._source.recv()
            if self.readyState != "live":
                raise MediaStreamError
            if self.is_on:
                return piece

    def stop(self) -> None:
        """Ends the source too."""
        super().stop()
        self._source.stop()


class AiortcEndpoint:
    """One side's media of one call.

    source: a file that aiortc can read; None = a test picture and silence. sink: a file that what comes is written to;
    None = it is decoded, counted and dropped. `frames` and `packets` say what has come.
    """

    gathers_first: Final = True
    restarts: Final = False

    def __init__(self, source: Path | None = None, sink: Path | None = None) -> None:
        self._source = source
        self._sink = sink
        self._peer: RTCPeerConnection | None = None
        self._credentials: TurnCredentials | None = None
        self._relay_only = False
        self._certificates: object = None
        """Of the connections before; None = the first one makes its own."""
        self._theirs = ""
        """The ICE user name of the other side's newest description."""
        self._player: MediaPlayer | None = None
        self._recorder = MediaRecorder(str(sink)) if sink is not None else None
        self._sent: dict[str, _Tap] = {}
        self._most_bits_per_s = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._gathering: set[asyncio.Task[None]] = set()
        self._events: asyncio.Queue[EndpointEvent | None] = asyncio.Queue()
        self._way = False
        """ICE and DTLS stand."""
        self._flows = False
        """MediaConnected was the last word."""
        self._known: set[tuple[str, str]] = set()
        self._decoded = asyncio.Event()
        self.frames = 0
        """Pictures decoded so far."""
        self.packets = 0
        """Packets of media received so far."""

    # --- negotiating --------------------------------------------------------------------------------------------------

    async def start(self, credentials: TurnCredentials | None, media: str, *, relay_only: bool) -> None:
        """See CallEndpoint. It has to know its relay from the beginning: later credentials are for a new connection."""
        self._credentials, self._relay_only = credentials, relay_only
        if self._peer is not None:
            return
        self._sent = {kind: _Tap(track) for kind, track in self._tracks(media).items()}
        self._connect(self._sent.values(), self._certificates)
        self._tasks.append(asyncio.create_task(self._watch(), name="rapport-media-counts"))

    def _connect(self, tracks: Iterable[MediaStreamTrack], certificates: object = None) -> None:
        """A connection, not yet described. certificates: of the one whose place it takes."""
        given = self._credentials
        # An empty list, never the public servers that aiortc takes by itself.
        servers = [RTCIceServer(given.urls, given.username, given.credential)] if given and given.urls else []
        policy = RTCIceTransportPolicy.RELAY if self._relay_only else RTCIceTransportPolicy.ALL
        peer = RTCPeerConnection(RTCConfiguration(iceServers=servers, iceTransportPolicy=policy))
        if certificates is not None:
            setattr(peer, _CERTIFICATES, certificates)
        peer.on("connectionstatechange", partial(self._state_changed, peer))
        peer.on("track", self._track_came)
        self._peer, self._way, self._known = peer, False, set()
        for track in tracks:
            peer.addTrack(track)

    async def _connect_anew(self) -> None:
        """With the same certificate, so that the other side knows whom it talks to."""
        before = self._connection
        before.remove_all_listeners()
        sent: list[MediaStreamTrack | None] = [sender.track for sender in before.getSenders()]
        tracks = [track for track in sent if track is not None]
        for sender in before.getSenders():
            sender.replaceTrack(None)  # closing must not end what goes on being sent
        self._connect(tracks, getattr(before, _CERTIFICATES))
        self._tasks.append(asyncio.create_task(_closed(before), name="rapport-media-close"))

    def _tracks(self, media: str) -> dict[str, MediaStreamTrack]:
        video = media == "video"
        if self._source is None:
            silence: dict[str, MediaStreamTrack] = {"audio": AudioStreamTrack()}
            return {**silence, "video": TestPicture()} if video else silence
        self._player = MediaPlayer(str(self._source))
        found = {"audio": self._player.audio, "video": self._player.video if video else None}
        return {kind: track for kind, track in found.items() if track is not None}

    @property
    def _connection(self) -> RTCPeerConnection:
        if self._peer is None:
            raise LocalError(ErrorCode.INTERNAL, "the endpoint was not started")
        return self._peer

    async def describe(self) -> Description:
        """See CallEndpoint."""
        peer = self._connection
        await self._gather(peer, await peer.createOffer())
        return self._described()

    async def answer(self, offer: Description) -> Description:
        """See CallEndpoint."""
        name = _user_name(offer)
        if (self._theirs and name != self._theirs) or self._connection.signalingState != "stable":
            await self._connect_anew()  # aiortc cannot take an offer of its own back
        self._theirs, peer = name, self._connection
        await peer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self._gather(peer, await peer.createAnswer())
        return self._described()

    async def _gather(self, peer: RTCPeerConnection, description: RTCSessionDescription) -> None:
        """To its end, cancelled or not: aioice forgets the sockets of a gathering that is broken off."""
        gathering = asyncio.create_task(peer.setLocalDescription(description), name="rapport-media-gather")
        self._gathering.add(gathering)
        gathering.add_done_callback(self._gathering.discard)
        await asyncio.shield(gathering)

    def _described(self) -> Description:
        local = self._connection.localDescription
        if len(local.sdp.encode()) > DESCRIPTION_BYTES:
            raise LocalError(ErrorCode.TOO_LARGE, "session description")
        return Description(local.type, local.sdp)

    async def take(self, answer: Description) -> None:
        """See CallEndpoint."""
        self._theirs = _user_name(answer)
        await self._connection.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))

    async def add_candidates(self, candidates: Sequence[tuple[str, str]]) -> None:
        """See CallEndpoint. At most 200 in a call."""
        for mid, text in candidates:
            if (mid, text) in self._known or len(self._known) >= CANDIDATES_MOST:
                continue
            self._known.add((mid, text))
            try:
                candidate = candidate_from_sdp(text.removeprefix("candidate:"))
            except (ValueError, IndexError, AssertionError):
                continue
            candidate.sdpMid = mid
            with suppress(ValueError, OSError):  # of a sort that aioice does not know
                await self._connection.addIceCandidate(candidate)

    async def restart(self, credentials: TurnCredentials | None) -> Description:
        """See CallEndpoint. A new connection: only where the other side asks for it."""
        self._credentials = credentials or self._credentials
        await self._connect_anew()
        return await self.describe()

    async def set_mode(self, mode: str, bits_per_s: int) -> None:
        """See CallEndpoint. aiortc makes no less than 250 kbit/s of pictures."""
        self._most_bits_per_s = bits_per_s
        for kind, track in self._sent.items():
            track.is_on = kind in _SENT_BY.get(mode, set())

    def _bound(self, peer: RTCPeerConnection) -> None:
        """What the other side thinks possible may have taken it beyond the limit."""
        for sender in peer.getSenders():
            encoder = getattr(sender, _ENCODER) if sender.kind == "video" else None
            if encoder is not None and 0 < self._most_bits_per_s < encoder.target_bitrate:
                encoder.target_bitrate = self._most_bits_per_s

    @property
    def path(self) -> str:
        """How the two are connected: the types of our candidate and of theirs, like `relay/relay`; "" while not."""
        peer = self._peer
        transports = [each.receiver.transport.transport for each in peer.getTransceivers()] if peer is not None else []
        for transport in transports:  # the statistics of aiortc do not say it
            for pair in transport.iceGatherer._connection._nominated.values():
                return f"{pair.local_candidate.type}/{pair.remote_candidate.type}"
        return ""

    def another(self) -> "AiortcEndpoint":
        """See CallEndpoint. A file is read from its beginning, and one that is written is begun anew."""
        fresh = AiortcEndpoint(self._source, self._sink)
        fresh._certificates = getattr(self._peer, _CERTIFICATES, self._certificates)  # whoever knows us knows it
        return fresh

    # --- what happens -------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[EndpointEvent]:
        """See CallEndpoint."""
        while (event := await self._events.get()) is not None:
            yield event

    def _tell(self, event: EndpointEvent) -> None:
        if not isinstance(event, MediaStats) or self._events.qsize() < _EVENTS_MOST:
            self._events.put_nowait(event)

    def _state_changed(self, peer: RTCPeerConnection) -> None:
        if peer is not self._peer:
            return  # closed, or another connection has taken its place
        state = peer.connectionState
        self._way = state == "connected"
        if state == "connected":
            self._flow(flows=True)
        elif state in ("failed", "closed"):
            self._flows = False
            self._tell(MediaFailed())

    def _flow(self, *, flows: bool) -> None:
        if flows is not self._flows:
            self._flows = flows
            self._tell(MediaConnected() if flows else MediaLost())

    def _track_came(self, track: MediaStreamTrack) -> None:
        if self._recorder is None:
            self._tasks.append(asyncio.create_task(self._count(track), name="rapport-media-sink"))
            return
        self._recorder.addTrack(track)
        self._tasks.append(asyncio.create_task(self._recorder.start(), name="rapport-media-sink"))

    async def _count(self, track: MediaStreamTrack) -> None:
        """Decodes and drops what comes, until the other side or we are done."""
        with suppress(MediaStreamError):
            while True:
                await track.recv()
                if track.kind == "video":
                    self.frames += 1
                    self._decoded.set()

    async def until_frames(self, count: int) -> None:
        """Returns once so many pictures have been decoded. For one waiter; waits for ever: give it a time limit."""
        while self.frames < count:
            self._decoded.clear()
            await self._decoded.wait()

    async def _watch(self) -> None:
        """Counts packets, and says when none have come for a while and when they come again."""
        loop = asyncio.get_running_loop()
        grew_s, peer, seen = loop.time(), self._connection, 0
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if peer is not self._connection:
                peer, seen = self._connection, 0
            self._bound(peer)
            received, sent = await _counted(peer, int(loop.time() * 1_000))
            if received.packets > seen:
                self.packets, seen, grew_s = self.packets + received.packets - seen, received.packets, loop.time()
            if self._way:
                self._tell(MediaStats(self.frames, self.packets, received, sent))
                self._flow(flows=loop.time() - grew_s < LOST_AFTER_S)
            else:
                grew_s = loop.time()

    async def close(self) -> None:
        """See CallEndpoint."""
        peer, self._peer = self._peer, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._gathering:
            await asyncio.wait(self._gathering, timeout=_GATHER_WITHIN_S)
        if peer is not None:
            peer.remove_all_listeners()
            await _closed(peer)
        for track in self._sent.values():
            track.stop()
        if self._recorder is not None:
            await self._recorder.stop()
            self._recorder = None
        self._events.put_nowait(None)


async def _closed(peer: RTCPeerConnection) -> None:
    """Closes a connection; one whose other side has gone first may wait for a word of it for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await peer.close()


def _user_name(description: Description) -> str:
    """The ICE user name: another one means that ICE begins anew."""
    found = (line for line in description.sdp.splitlines() if line.startswith("a=ice-ufrag:"))
    return next(found, "").partition(":")[2]


async def _counted(peer: RTCPeerConnection, at_ms: int) -> tuple[Sample, Sample]:
    """What has come, and what of ours has arrived as the other side has said last. Still pictures are not counted."""
    came = [each for receiver in peer.getReceivers() for each in (await receiver.getStats()).values()]
    went = [each for sender in peer.getSenders() for each in (await sender.getStats()).values()]
    inbound = [each for each in came if each.type == "inbound-rtp"]
    told = [each for each in went if each.type == "remote-inbound-rtp"]
    rtt_ms = max((each.roundTripTime or 0 for each in _fresh(told)), default=0) * 1_000
    lost_there = _lost(told)
    arrived = sum(each.packetsSent for each in went if each.type == "outbound-rtp") - lost_there
    return (
        Sample(at_ms, sum(each.packetsReceived for each in inbound), _lost(inbound), 0, _jitter_ms(inbound), rtt_ms),
        Sample(at_ms, max(0, arrived), lost_there, 0, _jitter_ms(_fresh(told)), rtt_ms),
    )


def _fresh(reports: Iterable[Any]) -> list[Any]:
    """Those that came lately: of pictures that were given up none come, and the last one says nothing about now."""
    now = datetime.now(UTC)
    return [each for each in reports if (now - each.timestamp).total_seconds() < _STALE_S]


def _lost(streams: Iterable[Any]) -> int:
    lost: int = sum(each.packetsLost for each in streams)
    return max(0, lost)


def _jitter_ms(streams: Iterable[Any]) -> float:
    return max((each.jitter * 1_000 / _CLOCKS[each.kind] for each in streams), default=0.0)
