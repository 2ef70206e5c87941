"""Finding words in one's own messages; the index follows every change and shows nothing in the file."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import rapport
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.engine import composing
from rapport.engine.composing import write_text
from rapport.engine.shown import searching
from rapport.engine.shown.searching import fold
from rapport.engine.vault.outgoing import OUTBOX
from rapport.engine.vault.records import MESSAGES, SEARCH_VERSION, SETTINGS
from rapport.engine.vault.tables import amend
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId
from rapport_protocol.signed import self_conversation
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet
from tests.sdk.served import served


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


def found(device: Device, words: str, conv: ConversationId | None = None, limit: int = 50) -> list[str]:
    return [message.text for message in device.do(lambda turn: searching.search(turn, words, conv, limit))]


async def test_words_are_found_by_their_beginnings_newest_first(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for text in ("The garden is green", "A gardener came", "Nothing here", "my Garden, again"):
        dana.say(conv, text)
        await quiet(dana, kim)
    for device in (dana, kim):
        assert found(device, "garden") == ["my Garden, again", "A gardener came", "The garden is green"]
        assert found(device, "GARDEN gr") == ["The garden is green"]
        assert found(device, "gardener") == ["A gardener came"]
        assert found(device, "arden") == []
        assert found(device, "garden", limit=1) == ["my Garden, again"]
        assert found(device, "garden", ConversationId(bytes(16))) == []
    assert found(kim, "welcome") == ["Welcome."]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Übermäßig schöne Grüße", "uber schone grusse"),
        ("ubermassig", "ÜBERMÄSSIG"),
        ("crème brûlée", "creme brulee"),
        ("ﬁnance ① Ⅻ", "finance 1 xii"),
        ("e\u0301te\u0301", "été"),
        ("İstanbul ΣΊΣΥΦΟΣ", "istanbul σισυφος"),
        ("дом Ёлка", "ДОМ елка"),
        ("今日は天気がいい", "天気"),
        ("안녕하세요 여러분", "안녕"),
        ("don't stop; see https://example.org/path_x?a=1", "don path_x example"),
        ("2026-11-22 17:30", "2026 11"),
    ],
)
async def test_case_accents_and_forms_make_no_difference(pair: Pair, text: str, words: str) -> None:
    pair.dana.say(pair.conv, text)
    await quiet(pair.dana, pair.kim)
    assert found(pair.dana, words) == found(pair.kim, words) == [text]


BLOCKS = (
    (0x0, 0x600), (0x900, 0x980), (0x1E00, 0x2000), (0x2100, 0x218C), (0x2460, 0x2500), (0x3041, 0x3097),
    (0x13A0, 0x13FE), (0xAB70, 0xABC0), (0xAC00, 0xD7A4), (0xFB00, 0xFB07), (0xFF01, 0xFF9F), (0x1D400, 0x1D7CC),
)  # fmt: skip
"""Blocks that no later version of Unicode changes, with all that folding treats unlike lower case."""


def test_letters_fold_as_in_the_other_sdk() -> None:
    folded = "".join(f"{fold(chr(code))}\n" for first, end in BLOCKS for code in range(first, end))
    # the same number stands in client_sdk/web/sdk/test/engine/searching.test.ts
    assert (
        hashlib.sha256(folded.encode()).hexdigest()
        == "6b13ee69ff9b192e64c3ad643349568a5b737fd559e2ff953b25fbbffbeac3e0"
    )


@pytest.mark.parametrize("words", ["", " ", "a", "a b c", "?!", "\ud7ff"])
async def test_without_a_word_of_two_letters_it_says_so(pair: Pair, words: str) -> None:
    with pytest.raises(LocalError) as refused:
        found(pair.dana, words)
    assert refused.value.code is ErrorCode.BAD_FORMAT


async def test_a_single_letter_beside_words_is_passed_over_and_long_queries_are_refused(pair: Pair) -> None:
    pair.dana.say(pair.conv, "the garden")
    await quiet(pair.dana)
    assert found(pair.dana, "a garden") == ["the garden"]
    with pytest.raises(LocalError) as refused:
        found(pair.dana, "x" * 1_001)
    assert refused.value.code is ErrorCode.TOO_LARGE


async def test_the_index_follows_edits_deletions_and_expiry(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "first wording")
    gone = dana.say(conv, "to be deleted, first")
    dana.do(lambda turn: write_text(turn, conv, "first and fleeting", None, 60))
    await quiet(dana, kim)
    dana.do(lambda turn: composing.edit_message(turn, conv, message.id, "second wording"))
    dana.do(lambda turn: composing.delete_message(turn, conv, gone.id))
    await quiet(dana, kim)
    for device in (dana, kim):
        assert found(device, "first") == ["first and fleeting"]
        assert found(device, "second") == found(device, "wording") == ["second wording"]
        assert found(device, "deleted") == []
    await later(60_000, dana, kim)
    assert found(dana, "first") == found(kim, "first") == []


async def test_the_newest_are_found_across_conversations(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    own = self_conversation(dana.me.account)
    for number, where in enumerate((conv, own, conv)):
        dana.say(where, f"garden {number}")
        await later(1_000, dana, kim)
    assert found(dana, "garden", limit=2) == ["garden 2", "garden 1"]
    assert found(dana, "garden", conv, limit=2) == ["garden 2", "garden 0"]


async def test_what_is_queued_is_found_and_found_once_when_it_is_accepted(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.drop_connection()
    dana.say(conv, "written offline")
    assert found(dana, "offline") == found(dana, "offline", conv) == ["written offline"]
    assert dana.look(lambda tx: OUTBOX.count(tx, conv)) == 1
    await dana.connect()
    await quiet(dana, kim)
    assert found(dana, "offline") == found(kim, "offline") == ["written offline"]


async def test_restored_history_is_found(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.say(conv, "old garden")
    await quiet(dana, kim)
    desk = await link(dana, seed=3, label="Desk")
    await quiet(dana, kim, desk)
    assert found(desk, "garden") == ["old garden"]


async def test_a_vault_without_an_index_gets_one_at_the_first_search(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for number in range(100):
        dana.say(conv, f"garden {number}")
    await quiet(dana, kim)

    def forget(turn: object) -> None:
        tx = turn.tx  # type: ignore[attr-defined]
        for key, _ in list(tx.list("search")):
            tx.delete("search", key)
        amend(SETTINGS, tx, b"", search_version=0)

    kim.do(forget)
    assert len(found(kim, "garden", limit=200)) == 100
    assert kim.look(lambda tx: SETTINGS.need(tx, b"").search_version) == SEARCH_VERSION
    assert kim.look(lambda tx: len(list(tx.list("search")))) > 3


async def test_a_part_that_fails_leaves_the_index_as_it_was(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = kim.say(conv, "garden")
    await quiet(dana, kim)

    def stumbling(turn: object) -> None:
        composing.edit_message(turn, conv, message.id, "planted")  # type: ignore[arg-type]
        raise KeyError

    with pytest.raises(KeyError):
        kim.do(stumbling)
    assert found(kim, "planted") == []
    assert found(kim, "garden") == ["garden"]
    assert kim.look(lambda tx: MESSAGES.need(tx, message.id)).text == "garden"


async def test_the_vaults_files_hold_no_word_and_no_pattern_of_words(tmp_path: Path) -> None:
    """A control beside it: the same words in a clear value would be found."""
    words = ["canarygarden", "canaryflower", "canarytree"]
    async with served() as server:
        await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
        async with rapport.Client(tmp_path / "dana") as dana:
            link = await dana.invite()
            conversation = dana.conversations()[0]
            for number in range(30):
                await conversation.send_text(" ".join(words) if number % 2 else f"{words[0]} {number}")
            await rapport.join(link, vault=tmp_path / "kim", name="Kim")
            async with rapport.Client(tmp_path / "kim") as kim:
                await kim.caught_up()
                async for event in dana.events():
                    if isinstance(event, rapport.MessageStatus) and event.status is rapport.Status.DELIVERED:
                        break
            assert len(await dana.search("canaryg")) == 30
            assert len(await dana.search(words[1])) == 15
            assert len(await dana.search(words[1], conversation.id, limit=4)) == 4
            await dana.set_setting("canarysetting", "canaryvalue")
            await conversation.set_draft("canarydraft")
        content = b"".join(file.read_bytes() for file in (tmp_path / "dana").iterdir())
    assert len(content) > 10_000
    planted = [*words, "canarysetting", "canaryvalue", "canarydraft"]
    assert [word for word in planted if fold(word).encode() in content] == []
    vault = await SqliteVault.open(tmp_path / "dana")
    blocks = await vault.run(lambda tx: len(list(tx.list("search"))))
    await vault.close()
    assert 1 <= blocks <= 4  # few records of many words: how often a word occurs shows in no count
