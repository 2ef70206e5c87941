"""What the account's devices have told each other: one value per type and subject, kept as it stands.

The value of the post with the highest seq counts, whatever order posts arrive in; one of our own that waits in the
outbox counts above all until it has a seq. What a value does to the device is said elsewhere (`own_posts.py`).

Source: docs/protocol.md, section 4.10.
"""

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from rapport.engine.bodies.content import OwnContent, as_map, content_type, parse_content
from rapport.engine.vault.records import OWN, OwnValue
from rapport.engine.vault.turn import Turn
from rapport.ports import Transaction
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import MessageId

__all__ = ["encode_own", "own_value", "queue_value", "settle_value", "standing", "standing_all", "unqueue_value"]

C = TypeVar("C", bound=OwnContent)


def encode_own(content: OwnContent) -> bytes:
    """A content as it is kept, and as it stands in the outbox."""
    return msgspec.msgpack.encode(as_map(content))


def _key(content: OwnContent) -> bytes:
    return content_type(content).encode() + b"\x00" + content.subject


def _put(turn: Turn, content: OwnContent, value: OwnValue) -> None:
    OWN.put(turn.tx, _key(content), value, group=value.type.encode())


def own_value(turn: Turn, content: OwnContent) -> OwnValue:
    """What is kept under the content's type and subject; an empty value if nothing is."""
    return OWN.get(turn.tx, _key(content)) or OwnValue(content_type(content))


def queue_value(turn: Turn, content: OwnContent, post: MessageId) -> None:
    """Our own post says this and has no seq yet."""
    _put(turn, content, replace(own_value(turn, content), queued=post, wanted=encode_own(content)))


def unqueue_value(turn: Turn, content: OwnContent, post: MessageId) -> None:
    """The post has its seq, or never gets one: from now on it counts by its seq like any other."""
    held = own_value(turn, content)
    if held.queued == post:
        _put(turn, content, replace(held, queued=None, wanted=b""))


def settle_value(turn: Turn, content: OwnContent, seq: int) -> bool:
    """A post with this seq says this. True if it is the newest word so far."""
    held = own_value(turn, content)
    if seq <= held.seq:
        return False
    _put(turn, content, replace(held, content=encode_own(content), seq=seq))
    return True


def standing(tx: Transaction, like: C) -> C | None:
    """What counts for the type and subject of `like`; None if nothing was ever said."""
    held = OWN.get(tx, _key(like))
    return None if held is None else _parsed(type(like), held)


def standing_all(tx: Transaction, kind: type[C]) -> list[C]:
    """All values of a type, as they count here."""
    group = content_type(kind).encode()
    found = (_parsed(kind, held) for _, held in OWN.list(tx, group))
    return [content for content in found if content is not None]


def _parsed(kind: type[C], held: OwnValue) -> C | None:
    if not held.standing:
        return None
    try:
        content = parse_content(held.type, msgspec.msgpack.decode(held.standing))
    except (FormatError, msgspec.DecodeError):
        return None  # of a later version that wrote into this vault
    return content if isinstance(content, kind) else None
