"""Frame by frame what RFC 6455 allows and forbids, over plain sockets against a real server process.

Every case has the one close code that ends it, or none because the connection goes on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.practice import BenchAccount, BenchPractice, sign_in
from rapport.bench.servers import RATES_RAISED, Served, served
from rapport.crypto.invites import OwnerLink
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.limits import FRAGMENTS, FRAME_BYTES, LOBBY_BYTES, LOBBY_FRAMES, SUBPROTOCOL_JSON
from rapport_protocol.messages import CloseCode, Failure
from tests.server.raw import RawStream, frame, head_of_answer, upgrade

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
UNKNOWN = msgspec.msgpack.encode(["no such tag"])
"""A message that is answered `unsupported`, whatever comes before."""


def unknown(size: int) -> bytes:
    """Such a message of exactly this size."""
    head = b"\x92\xa5later\xc6"
    filler = size - len(head) - 4
    return head + filler.to_bytes(4, "big") + b"x" * filler


def fragmented(pieces: list[bytes], opcode: int = BINARY, between: bytes = b"") -> bytes:
    last = len(pieces) - 1
    return between.join(
        frame(opcode if at == 0 else CONTINUATION, piece, fin=at == last) for at, piece in enumerate(pieces)
    )


def pieces_of(message: bytes, count: int) -> list[bytes]:
    """The message in so many pieces, the last of them empty where there are not enough bytes."""
    size = -(-len(message) // count)
    return [message[at * size : (at + 1) * size] for at in range(count)]


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


# --- a server and a device for all cases ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {**RATES_RAISED, "limits.unauthenticated_per_address": "1000"}
    with served(Path(tmp_path_factory.mktemp("rfc6455")), settings) as running:
        yield running
        assert " [error" not in running.log.read_text(), "a case made the server fail"


@pytest.fixture(scope="module")
def owner(server: Served) -> BenchAccount:
    return asyncio.run(_owner(server.origin, server.link))


async def _owner(origin: str, link: OwnerLink) -> BenchAccount:
    api = HttpApi(ServerAddress.parse(origin))
    try:
        return await BenchPractice(origin, api).owner(link)
    finally:
        await api.close()


@pytest.fixture
def stream(server: Served, owner: BenchAccount) -> Iterator[RawStream]:
    """Signed in; what waited in the mailbox has been read."""
    peer, _ = sign_in(server.origin, owner.devices[0])
    with peer.socket:
        opened = RawStream(peer.socket, peer.buffer)
        while opened.next() != (BINARY, b"\x91\xa9caught_up"):
            pass
        yield opened


@pytest.fixture
def lobby(server: Served) -> Iterator[RawStream]:
    """Upgraded, with the JSON subprotocol, and not signed in."""
    opened = RawStream.opened(server.port, Sec_WebSocket_Protocol=SUBPROTOCOL_JSON)
    with opened.raw:
        opened.next()
        yield opened


def goes_on(stream: RawStream) -> None:
    """The connection is open, in step and nothing is owed."""
    stream.send(frame(PING, b"still there"))
    assert stream.next() == (PONG, b"still there")


def unsupported(stream: RawStream) -> None:
    """The next frame answers one unknown message."""
    opcode, payload = stream.next()
    assert opcode == BINARY
    assert isinstance(CLIENT_CODECS["rapport.v1+msgpack"].decode(payload), Failure)


# --- what ends the connection ---------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[bytes, int]] = {
    "unmasked binary": (frame(BINARY, UNKNOWN, masked=False), 1002),
    "unmasked text": (frame(TEXT, b"[]", masked=False), 1002),
    "unmasked ping": (frame(PING, masked=False), 1002),
    "unmasked close": (frame(CLOSE, b"\x03\xe8", masked=False), 1002),
    "unmasked continuation": (frame(BINARY, b"\x91", fin=False) + frame(CONTINUATION, b"\xa0", masked=False), 1002),
    **{f"reserved bits {rsv:03b}": (frame(BINARY, UNKNOWN, rsv=rsv), 1002) for rsv in (1, 2, 4, 7)},
    "reserved bit on a ping": (frame(PING, rsv=4), 1002),
    "reserved bit on a continuation": (
        frame(BINARY, UNKNOWN, fin=False) + frame(CONTINUATION, b"", rsv=4), 1002,
    ),
    **{f"reserved opcode {opcode:x}": (frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "pong of 126 bytes": (frame(PONG, bytes(126)), 1002),
    "close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + bytes(124)), 1002),
    "ping in pieces": (frame(PING, b"a", fin=False) + frame(CONTINUATION, b"b"), 1002),
    "close in pieces": (frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    "continuation of nothing": (frame(CONTINUATION, UNKNOWN), 1002),
    "unfinished continuation of nothing": (frame(CONTINUATION, UNKNOWN, fin=False), 1002),
    "continuation after the end": (fragmented([UNKNOWN, b""]) + frame(CONTINUATION, b""), 1002),
    "binary inside a message": (frame(BINARY, b"\x91", fin=False) + frame(BINARY, UNKNOWN), 1002),
    "text inside a message": (frame(BINARY, b"\x91", fin=False) + frame(TEXT, b"[]"), 1002),
    "message inside an empty message": (frame(BINARY, b"", fin=False) + frame(BINARY, UNKNOWN), 1002),
    "unfinished message inside an empty one": (frame(BINARY, b"", fin=False) + frame(BINARY, b"", fin=False), 1002),
    "125 bytes in two bytes of length": (frame(BINARY, unknown(125), form=2), 1002),
    "125 bytes in eight": (frame(BINARY, unknown(125), form=8), 1002),
    "65,535 bytes in eight": (frame(BINARY, unknown(65_535), form=8), 1002),
    "ping with a long length": (frame(PING, b"a", form=2), 1002),
    "one fragment too many": (fragmented(pieces_of(unknown(200), FRAGMENTS + 1)), 1009),
    "60,000 fragments of one byte": (fragmented([b"x"] * 60_000), 1009),
    "60,000 empty fragments": (fragmented([b""] * 60_000), 1009),
    "fragments with pings between them": (fragmented([b"x"] * (FRAGMENTS + 1), between=frame(PING)), 1009),
    "a byte too large": (frame(BINARY, bytes(FRAME_BYTES + 1)), 1009),
    "two fragments too large together": (fragmented([bytes(FRAME_BYTES), b"xx"]), 1009),
    "2 GiB announced": (frame(BINARY, b"x", size=2**31), 1009),
    "the largest length announced": (frame(BINARY, b"x", size=2**63 - 1), 1009),
    "a length with its first bit set": (frame(BINARY, b"x", size=2**63), 1009),
    "a ping after a large frame was announced": (frame(BINARY, b"", size=2**40) + frame(PING), 1009),
    "deflate bomb": (frame(BINARY, zlib.compress(bytes(20_000_000), 9)[2:-4], rsv=4), 1002),
    "text that is no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "text on a binary stream": (frame(TEXT, b"[]"), CloseCode.BAD_FRAME),
    "empty message": (frame(BINARY), CloseCode.BAD_FRAME),
    "no MessagePack": (frame(BINARY, b"\xc1"), CloseCode.BAD_FRAME),
    "close without a code": (frame(CLOSE), 1000),
    **{f"close {code}": (closing(code), code) for code in (1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999)},
    "close with a reason": (closing(1000, "Auf Wiedersehen, ö".encode()), 1000),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close {code}, which is never sent": (closing(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    },
    "close with a reason that is no UTF-8": (closing(1000, b"\xc3\x28"), 1007),
    "close and then a message": (closing(1000) + frame(BINARY, UNKNOWN), 1000),
    "close inside a message": (frame(BINARY, b"\x91", fin=False) + closing(1000), 1000),
    "a message and then a breach": (frame(BINARY, UNKNOWN) + frame(BINARY, UNKNOWN, masked=False), 1002),
}  # fmt: skip


@pytest.mark.parametrize(("said", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_each_breach_has_its_close_code(stream: RawStream, said: bytes, code: int) -> None:
    stream.send(said)
    assert stream.close_code() == code


def test_a_breach_is_found_wherever_the_network_cuts_it(stream: RawStream) -> None:
    for byte in frame(BINARY, UNKNOWN):
        stream.send(bytes((byte,)))
    unsupported(stream)
    for byte in frame(BINARY, UNKNOWN, masked=False):
        stream.send(bytes((byte,)))
    assert stream.close_code() == 1002


BAD_UTF8 = {
    "lone continuation": b"\x80",
    "two bytes cut": b"\xc3",
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "never a byte of it": b"\xfe",
}


@pytest.mark.parametrize("words", BAD_UTF8.values(), ids=BAD_UTF8.keys())
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "in pieces"])
def test_text_is_utf8(lobby: RawStream, words: bytes, cut: bool) -> None:
    message = b'["' + words + b'"]'
    lobby.send(fragmented(pieces_of(message, 3), TEXT) if cut else frame(TEXT, message))
    assert lobby.close_code() == 1007


# --- what does not --------------------------------------------------------------------------------------------------

ANSWERED: dict[str, bytes] = {
    "masked with zeros": frame(BINARY, UNKNOWN, key=bytes(4)),
    "masked with ones": frame(BINARY, UNKNOWN, key=b"\xff" * 4),
    "two fragments": fragmented(pieces_of(UNKNOWN, 2)),
    "an empty first fragment": fragmented([b"", UNKNOWN]),
    "empty fragments all over": fragmented([b"", UNKNOWN[:3], b"", UNKNOWN[3:], b""]),
    "as many fragments as may be": fragmented(pieces_of(unknown(200), FRAGMENTS)),
    "a fragment of no use": frame(PONG, b"unasked") + frame(BINARY, UNKNOWN),
    "125 bytes": frame(BINARY, unknown(125)),
    "126 bytes": frame(BINARY, unknown(126)),
    "65,535 bytes": frame(BINARY, unknown(65_535)),
    "65,536 bytes": frame(BINARY, unknown(65_536)),
    "the largest": frame(BINARY, unknown(FRAME_BYTES)),
    "the largest in fragments": fragmented(pieces_of(unknown(FRAME_BYTES), FRAGMENTS)),
}


@pytest.mark.parametrize("said", ANSWERED.values(), ids=ANSWERED.keys())
def test_messages_are_read_however_they_are_framed(stream: RawStream, said: bytes) -> None:
    stream.send(said)
    unsupported(stream)
    goes_on(stream)


@pytest.mark.parametrize("payload", [b"", b"x", os.urandom(125)], ids=["empty", "one byte", "125 bytes"])
def test_a_ping_is_answered_with_its_own_words(stream: RawStream, payload: bytes) -> None:
    stream.send(frame(PING, payload))
    assert stream.next() == (PONG, payload)


def test_pings_are_answered_in_the_middle_of_a_message(stream: RawStream) -> None:
    stream.send(fragmented(pieces_of(UNKNOWN, 4), between=frame(PING, b"now")))
    assert [stream.next() for _ in range(3)] == [(PONG, b"now")] * 3
    unsupported(stream)
    goes_on(stream)


def test_frames_may_come_byte_by_byte(stream: RawStream) -> None:
    for byte in fragmented(pieces_of(unknown(300), 2), between=frame(PING, b"!")):
        stream.send(bytes((byte,)))
    assert stream.next() == (PONG, b"!")
    unsupported(stream)
    goes_on(stream)


def test_half_open_and_half_a_frame_end_without_a_code(stream: RawStream) -> None:
    stream.send(frame(BINARY, UNKNOWN)[:-2])
    stream.raw.shutdown(socket.SHUT_WR)
    assert stream.close_code() is None


# --- before sign-in -------------------------------------------------------------------------------------------------

CROWDS: dict[str, tuple[bytes, int]] = {
    "too many frames": (frame(PONG) * (LOBBY_FRAMES + 1), 1009),
    "too many fragments": (fragmented([b"["] * (LOBBY_FRAMES + 1), TEXT), 1009),
    "too many bytes": (frame(TEXT, b" " * LOBBY_BYTES), 1009),
    "too many bytes announced": (frame(TEXT, b"", size=LOBBY_BYTES), 1009),
    "too many bytes together": (frame(PONG, bytes(100)) + frame(TEXT, b" " * (LOBBY_BYTES - 60)), 1009),
    "another word than auth": (frame(TEXT, b'["pong"]'), CloseCode.BAD_FRAME),
    "an unknown word": (frame(TEXT, b'["no such tag"]'), CloseCode.BAD_FRAME),
    "binary on a text stream": (frame(BINARY, UNKNOWN), CloseCode.BAD_FRAME),
    "unmasked": (frame(TEXT, b"[]", masked=False), 1002),
    "a farewell": (closing(1001), 1001),
}


@pytest.mark.parametrize(("said", "code"), CROWDS.values(), ids=CROWDS.keys())
def test_who_has_proved_nothing_gets_little(lobby: RawStream, said: bytes, code: int) -> None:
    lobby.send(said)
    assert lobby.close_code() == code


def test_pings_are_answered_before_sign_in(lobby: RawStream) -> None:
    lobby.send(frame(PING, b"a") + frame(PING, b"b"))
    assert [lobby.next(), lobby.next()] == [(PONG, b"a"), (PONG, b"b")]


# --- the opening handshake ------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[bytes, int]] = {
    "no upgrade": (upgrade(Upgrade=None, Connection="close"), 426),
    "another upgrade": (upgrade(Upgrade="h2c"), 426),
    "no version": (upgrade(Sec_WebSocket_Version=None), 426),
    "a draft's version": (upgrade(Sec_WebSocket_Version="8"), 426),
    "a version to come": (upgrade(Sec_WebSocket_Version="14"), 426),
    "upgrade not announced": (upgrade(Connection="close"), 400),
    "no key": (upgrade(Sec_WebSocket_Key=None), 400),
    "a short key": (upgrade(Sec_WebSocket_Key="c2hvcnQ="), 400),
    "a key that is no base64": (upgrade(Sec_WebSocket_Key="~" * 24), 400),
    "POST": (upgrade("POST /v1/stream", Content_Length="0"), 405),
    "another path": (upgrade("GET /v1/streams"), 404),
    "a foreign page": (upgrade(Origin="https://evil.example"), 403),
    "a page without origin": (upgrade(Origin="null"), 403),
    "a page of another port": (upgrade(Origin="http://127.0.0.1:1"), 403),
    "a large head": (upgrade(X_Padding="x" * 8192), 400),
    "a large head in many lines": (upgrade(**{f"X_{n}": "x" * 100 for n in range(90)}), 431),
}


@pytest.mark.parametrize(("asked", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_an_upgrade_that_is_none_is_refused(server: Served, asked: bytes, status: int) -> None:
    head = head_of_answer(server.port, asked)
    assert int(head.split(b" ", 2)[1]) == status
    assert (b"sec-websocket-version: 13\r\n" in head) == (status == 426)


def test_extensions_are_not_agreed_to(server: Served) -> None:
    head = head_of_answer(server.port, upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    assert head.startswith(b"http/1.1 101 ")
    assert b"sec-websocket-extensions" not in head


def test_without_a_common_subprotocol_it_closes(server: Served) -> None:
    for offered in (None, "chat", "rapport.v2+msgpack, chat"):
        stream = RawStream.opened(server.port, Sec_WebSocket_Protocol=offered)
        with stream.raw:
            stream.send(frame(BINARY, UNKNOWN))
            assert stream.close_code() == CloseCode.NO_SUBPROTOCOL
