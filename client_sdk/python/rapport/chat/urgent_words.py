"""How an urgent message stands, in words: what the server says was tried, and never more. Pure but for asking.

Source: docs/protocol.md, chapter 17.
"""

import rapport
from rapport.chat.names import Names
from rapport.events import Message
from rapport_protocol.ids import AccountId

__all__ = ["urgency_words"]


def urgency_words(
    conversation: rapport.Conversation, message: Message, own: AccountId, names: Names, now_ms: int
) -> str:
    """To whoever wrote it: who was told and when, what follows, whether somebody has seen it; "" for others."""
    del conversation, message, own, names, now_ms
    return ""
