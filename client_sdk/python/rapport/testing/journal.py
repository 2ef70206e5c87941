"""Writes what happens to one client process, line by line, so that nothing of it is lost when the process is killed.

`rapport.testing.history` reads it.
"""

import os
import time
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from rapport.testing.history import Entry

__all__ = ["Journal", "text_digest"]

_ENCODER: Final = msgspec.json.Encoder()


def text_digest(text: str) -> str:
    """16 hexadecimal characters that stand for a text, so that journals hold none."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


class Journal:
    """One client's journal file. Each line is handed to the operating system whole before the call returns.

    path: created, or appended to after a restart. client: the name in every line. Use it in a `with` block.
    """

    def __init__(self, path: Path, client: str) -> None:
        self._client = client
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        os.close(self._file)

    def member(self, conv: bytes) -> None:
        """This client belongs to a conversation from now on: it must be shown what is accepted there."""
        self._write(Entry("member", time.monotonic(), self._client, conv.hex()))

    def invoke(self, conv: bytes, message: bytes, text: str) -> None:
        """A send was begun; write it before anybody could answer it."""
        self._write(Entry("invoke", time.monotonic(), self._client, conv.hex(), message.hex(), 0, text_digest(text)))

    def ack(self, conv: bytes, message: bytes, seq: int) -> None:
        """The server accepted it at this place."""
        self._write(Entry("ack", time.monotonic(), self._client, conv.hex(), message.hex(), seq))

    def recv(self, conv: bytes, message: bytes, seq: int) -> None:
        """A message of somebody else arrived, readable or not."""
        self._write(Entry("recv", time.monotonic(), self._client, conv.hex(), message.hex(), seq))

    def shown(self, conv: bytes, message: bytes, seq: int, text: str) -> None:
        """It was shown to the person."""
        self._write(Entry("shown", time.monotonic(), self._client, conv.hex(), message.hex(), seq, text_digest(text)))

    def kill(self) -> None:
        """The harness kills the server now."""
        self._write(Entry("kill", time.monotonic(), self._client))

    def left(self, conv: bytes) -> None:
        """This client does not belong there any more: what is sent from now on must not be shown to it."""
        self._write(Entry("left", time.monotonic(), self._client, conv.hex()))

    def restore(self) -> None:
        """The harness has put an older store in the place of the server's."""
        self._write(Entry("restore", time.monotonic(), self._client))

    def alarm(self, what: str) -> None:
        """The SDK has told of something that an honest server never does."""
        self._write(Entry("alarm", time.monotonic(), self._client, what=what))

    def _write(self, entry: Entry) -> None:
        line = _ENCODER.encode(entry) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the journal could not be written")
