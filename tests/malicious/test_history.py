"""Stored history that is bent or cut, and keys that somebody asks for who was never written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport import ConversationId, MessageId, SecurityKind, Status
from rapport.engine.bodies.content import ResendItem, ResendRequest
from rapport.engine.directs import put_content
from rapport.engine.keys.sessions import choose
from rapport.engine.vault.records import PENDING
from rapport.engine.vault.tables import must
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import DeviceId
from rapport_protocol.requests import ArchivedItem, ArchivePage
from tests.malicious.proxy import Asked, Liar
from tests.malicious.rows import catches
from tests.malicious.stage import Stage

pytestmark = pytest.mark.malicious

Items = list[ArchivedItem]


class OtherHistory(Liar):
    """Pages of one conversation's history are changed."""

    def __init__(self, conv: ConversationId, change: Callable[[Items], Items]) -> None:
        self.conv, self.change = conv, change

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if not isinstance(answer, ArchivePage) or asked.path["conv"] != self.conv:
            return answer
        return replace(answer, items=self.change(answer.items))


def forged(items: Items) -> Items:
    """Entries that no device of the account has written."""
    return [replace(item, entry=item.entry[:-1] + bytes([item.entry[-1] ^ 1])) for item in items]


def bodies_swapped(items: Items) -> Items:
    """Every body stands at another message's place."""
    bodies = [(item.nonce, item.ct) for item in items]
    turned = bodies[1:] + bodies[:1]
    return [replace(item, nonce=nonce, ct=ct) for item, (nonce, ct) in zip(items, turned, strict=True)]


def cut(items: Items) -> Items:
    """One message in the middle is left out."""
    middle = len(items) // 2
    return items[:middle] + items[middle + 1 :]


@catches("forged or truncated archive")
@pytest.mark.victim("Kim")
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (forged, SecurityKind.FORGED_ARCHIVE),
        (bodies_swapped, SecurityKind.ALTERED),
        (cut, SecurityKind.HISTORY_GAP),
    ],
)
async def test_history_that_was_tampered_with_is_noticed(
    stage: Stage, change: Callable[[Items], Items], kind: SecurityKind
) -> None:
    dana, kim = await stage.pair()
    texts = [f"a line of our history, number {number}" for number in range(5)]
    for text in texts:
        await dana.say(text)
        await kim.hears(text)
    conv = kim.talk.id
    await kim.until(lambda: kim.talk.unread == len(texts) + 1)
    await dana.until(lambda: dana.status_of(dana.said[-1]) is Status.DELIVERED)
    stage.lie(OtherHistory(conv, change))
    await kim.forget(conv)
    await kim.talk.restore()
    if stage.lying:
        await kim.noticed(kind)
        assert not set(texts) <= set(await kim.texts())
        stage.honest()
        await kim.talk.restore()
    assert [text for text in await kim.texts() if text in texts] == texts
    await stage.verdict(Kim=[kind])


# --- asking for keys --------------------------------------------------------------------------------------------------


def ask_for(turn: Turn, conv: ConversationId, device: DeviceId, message: MessageId) -> None:
    """What a malicious client asks: a message that it was told of by the server, and that is none of its business."""
    request = ResendRequest((ResendItem(message, bytes(32), body=True),))
    put_content(turn, conv, device, must(choose(turn, device)), request)


@catches("resend to extract a key")
async def test_nobody_gets_a_key_that_was_not_meant_for_them(stage: Stage) -> None:
    dana, kim = await stage.pair()
    lee = await stage.invited(dana, "Lee")
    secret = await dana.say("for Kim's eyes only", kim.talk.id)
    await kim.hears("for Kim's eyes only")
    conv, device = lee.talk.id, dana.client.device
    if stage.lying:
        await lee.do(lambda turn: ask_for(turn, conv, device, secret.id))
        await dana.noticed(SecurityKind.KEY_REFUSED)
    await lee.say("nothing to see here", conv)
    await dana.hears("nothing to see here")
    await dana.say("indeed, nothing", conv)  # behind the refusal, so that it has arrived
    await lee.hears("indeed, nothing")
    assert not await lee.do(lambda turn: PENDING.has(turn.tx, secret.id))
    assert not any("Kim's eyes" in text for text in await lee.texts(conv))
    await stage.verdict(Dana=[SecurityKind.KEY_REFUSED])
