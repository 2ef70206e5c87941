"""Raw WebSocket bytes for the load generator: frames made once, answers read without a library.

The generator has to cost far less than the server it loads, so it knows the few frames it meets by their first bytes
and fixed lengths. It is a measuring instrument, not a client: nothing else may use it.
"""

import base64
import os
import socket
from typing import Final

__all__ = ["ACCEPTED", "DELIVER", "Peer", "ack_frame", "client_frame", "open_socket", "server_frame"]

ACCEPTED: Final = b"\x94\xa8accepted"
DELIVER: Final = b"\x97\xa7deliver"


def client_frame(payload: bytes, *, text: bool = False) -> bytes:
    """One masked frame. The masking key is zero: legal to parse, free to make."""
    first, size = (0x81 if text else 0x82), len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    if size < 65536:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4) + payload


def ack_frame(ids: list[bytes], entry: bytes | None) -> bytes:
    """`["ack", [[id, entry], …], []]` as MessagePack in a masked frame."""
    tail = b"\xc0" if entry is None else b"\xc4" + bytes((len(entry),)) + entry
    count = len(ids)
    head = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    items = b"".join([b"\x92\xc4\x10" + id16 + tail for id16 in ids])
    return client_frame(b"\x93\xa3ack" + head + items + b"\x90")


def open_socket(host: str, port: int, path: str, subprotocol: str | None) -> tuple[socket.socket, bytes]:
    """A blocking, upgraded socket and what the server said after its handshake already."""
    raw = socket.create_connection((host, port), timeout=10)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = raw.recv(4096)
        if not more:
            raise ConnectionError("no upgrade")
        answer += more
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise ConnectionError(head.split(b"\r\n", 1)[0].decode("latin-1"))
    return raw, rest


class Peer:
    """One upgraded socket: whole payloads out of a byte stream."""

    __slots__ = ("buffer", "socket")

    def __init__(self, raw: socket.socket, rest: bytes) -> None:
        self.socket = raw
        self.buffer = rest

    def payloads(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes (server frames are unmasked and, here, never fragmented)."""
        buffer = self.buffer + data if self.buffer else data
        found, at, end = [], 0, len(buffer)
        while end - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:
                if end - at < 4:
                    break
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if end - at < 10:
                    break
                size, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if end < start + size:
                break
            if buffer[at] & 0x0F == 8:
                raise ConnectionError(f"closed by the server: {int.from_bytes(buffer[start : start + 2], 'big')}")
            found.append(buffer[start : start + size])
            at = start + size
        self.buffer = buffer[at:]
        return found

    def next_payload(self) -> bytes:
        """Blocks for the next payload; for signing in, before the load starts."""
        found = self.payloads(b"")
        while not found:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed")
            found = self.payloads(data)
        if len(found) > 1:
            rest = b"".join(server_frame(payload) for payload in found[1:])
            self.buffer = rest + self.buffer
        return found[0]


def server_frame(payload: bytes) -> bytes:
    """One unmasked frame: how payloads that came too early are put back."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 65536:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload
