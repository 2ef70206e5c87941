"""Bytes of RFC 6455 and HTTP/1.1, legal or not, over plain sockets."""

from __future__ import annotations

import base64
import os
import socket
from dataclasses import dataclass, field

from rapport_protocol.limits import SUBPROTOCOL_MSGPACK

__all__ = ["RawStream", "frame", "head_of_answer", "upgrade"]

SOON_S = 60.0
"""How long a test waits for what must come; reached only by a failing one, and more than the server's own 5 s."""


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    key: bytes = b"\xa5\x01\xff\x3c",
    size: int | None = None,
    form: int | None = None,
) -> bytes:
    """One frame. size: the length that it claims. form: so many bytes of length (0, 2, 8); the fewest by default."""
    length = len(payload) if size is None else size
    if form is None:
        form = 0 if length < 126 else 2 if length < 65_536 else 8
    mask = 0x80 if masked else 0
    head = bytes((fin << 7 | rsv << 4 | opcode, mask | {0: length & 0x7F, 2: 126, 8: 127}[form]))
    head += length.to_bytes(form, "big") if form else b""
    if not masked:
        return head + payload
    if key == bytes(4):
        return head + key + payload
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    veiled = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + key + veiled.to_bytes(len(payload), "big")


def upgrade(start: str = "GET /v1/stream", **changed: str | None) -> bytes:
    """The request of an opening handshake. start: method and path. changed: headers, `_` for `-`, None for none."""
    headers: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": SUBPROTOCOL_MSGPACK,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    lines = [f"{start} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def head_of_answer(port: int, said: bytes) -> bytes:
    """Status line and headers of what the server answers to this, in lower case."""
    with socket.create_connection(("127.0.0.1", port), timeout=SOON_S) as raw:
        raw.sendall(said)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = raw.recv(65_536)
            assert more, "closed without an answer"
            answer += more
        return answer.partition(b"\r\n\r\n")[0].lower()


@dataclass
class RawStream:
    """The server's side of an upgraded socket, frame by frame."""

    raw: socket.socket
    buffer: bytes = b""
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    """(opcode, payload) of every frame read."""

    @classmethod
    def opened(cls, port: int, **changed: str | None) -> RawStream:
        """After the opening handshake; `head` is not kept. ConnectionError with the status line when refused."""
        raw = socket.create_connection(("127.0.0.1", port), timeout=SOON_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(upgrade("GET /v1/stream", **changed))
        stream = cls(raw)
        while b"\r\n\r\n" not in stream.buffer:
            stream._more()
        head, _, stream.buffer = stream.buffer.partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head.partition(b"\r\n")[0].decode())
        return stream

    def send(self, data: bytes) -> None:
        """All of it, unless the server cuts the connection first."""
        try:
            self.raw.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def next(self) -> tuple[int, bytes]:
        """The next frame. EOFError when the server has ended the connection."""
        while True:
            if len(self.buffer) >= 2:
                start, size = 2, self.buffer[1] & 0x7F
                if size > 125:
                    start = 4 if size == 126 else 10
                    size = int.from_bytes(self.buffer[2:start], "big")
                if len(self.buffer) >= max(start, start + size):
                    found = self.buffer[0] & 0x0F, self.buffer[start : start + size]
                    self.buffer = self.buffer[start + size :]
                    self.heard.append(found)
                    return found
            self._more()

    def close_code(self) -> int | None:
        """Reads to the end, answering the server's close; its code, None when it cut the connection without one."""
        code = None
        try:
            while True:
                opcode, payload = self.next()
                if opcode == 8 and code is None:
                    code = int.from_bytes(payload[:2], "big")
                    self.send(frame(8, payload))
        except EOFError:
            return code

    def _more(self) -> None:
        try:
            data = self.raw.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self.buffer += data
