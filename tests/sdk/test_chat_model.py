"""The screen without a screen: events in, lines out."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport.chat.columns import two_columns
from rapport.chat.durations import lasting, seconds_of
from rapport.chat.layout import centred, cut, padded, width_of, wrapped
from rapport.chat.model import Model, Row, Thread
from rapport.chat.names import Names
from rapport.chat.numbering import Numbers
from rapport.chat.render import (
    Block,
    Renderer,
    elsewhere_words,
    header,
    notice_lines,
    row_lines,
    status_lines,
    thread_blocks,
)
from rapport.chat.scroll import Scroll
from rapport.chat.sheet import Sheet
from rapport.events import (
    ConnectionChanged,
    DevicesChanged,
    IdentityChanged,
    Member,
    Message,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageRemoved,
    MessageStatus,
    Placeholder,
    PlaceholderReason,
    PlaceholderRemoved,
    SecurityEvent,
    SecurityKind,
    SignedOut,
    Status,
    StorageProblem,
    Typing,
)
from rapport_protocol.connection import ConnectionState, Reason
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.requests import Role

ME, DANA, SAM = (AccountId(bytes([n]) * 16) for n in range(3))
CONV, ELSEWHERE = ConversationId(b"c" * 16), ConversationId(b"e" * 16)
NOON = int(time.mktime((2026, 3, 3, 12, 0, 0, 0, 0, -1))) * 1000
MINUTE = 60_000


def ident(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def message(number: int, account: AccountId = DANA, text: str = "", **fields: object) -> Message:
    values = {
        "id": ident(number),
        "conversation": CONV,
        "account": account,
        "device": DeviceId(bytes(16)),
        "seq": number,
        "at_ms": NOON + number * MINUTE,
        "kind": MessageKind.TEXT,
        "text": text or f"text {number}",
        "status": Status.DELIVERED if account == ME else Status.RECEIVED,
        **fields,
    }
    return Message(**values)  # type: ignore[arg-type]


def model(*messages: Message, unread: int = 0) -> Model:
    found = Model(ME)
    members = [Member(ME, "Toni", Role.THERAPIST), Member(DANA, "Dana", Role.CLIENT)]
    found.open(Thread(CONV, messages, unread=unread), members)
    return found


def plain(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for _, text in line).rstrip() for line in lines]


def screen(shown: Model, width: int = 40, **more: object) -> list[str]:
    blocks = thread_blocks(shown, width, NOON, **more)  # type: ignore[arg-type]
    return plain([line for block in blocks for line in block.lines])


# --- what a conversation looks like -----------------------------------------------------------------------------------


def test_messages_stand_under_their_day_and_their_sender_with_time_and_mark() -> None:
    shown = model(message(1), message(2), message(3, ME), message(20, ME, status=Status.READ))
    assert screen(shown) == [
        "─────────── Tuesday 3 March ────────────",
        " Dana  12:01",
        "   text 1",
        "   text 2",
        "",
        " You  12:03",
        "   text 3",
        "   12:03, delivered",
        "",
        " You  12:20",
        "   text 20",
        "   12:20, read",
    ]


def test_a_new_day_and_another_year_are_said() -> None:
    days = [line for line in screen(model(message(1, at_ms=NOON - 400 * 86_400_000), message(2))) if "──" in line]
    assert [day.strip("─ ") for day in days] == ["Monday 27 January 2025", "Tuesday 3 March"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.QUEUED, "12:01, queued"),
        (Status.SENT, "12:01, sent"),
        (Status.DELIVERED, "12:01, delivered"),
        (Status.READ, "12:01, read"),
        (Status.FAILED, "12:01, not sent. The server will not"),
    ],
)
def test_how_far_our_own_message_has_come_is_said_in_words(status: Status, words: str) -> None:
    assert f"   {words}" in screen(model(message(1, ME, status=status)))


def test_replies_edits_deletions_and_reactions_are_said_in_words() -> None:
    answered = message(1, text="How was the week, all in all, if you look back at it?\nSecond line")
    lines = screen(
        model(
            answered,
            message(2, ME, reply_to=ident(1), edited=True, reactions=((DANA, "\N{THUMBS UP SIGN}"), (ME, "!"))),
            message(3, deleted=True, text=""),
            message(4, reply_to=ident(99)),
        )
    )
    assert "   │ Dana: How was the week, all in al…" in lines
    assert "   \N{THUMBS UP SIGN} Dana · ! You" in lines
    assert "   12:02, delivered, edited" in lines
    assert "   Dana took this message back." in lines
    assert "   │ answers an earlier message" in lines


@pytest.mark.parametrize("reason", PlaceholderReason)
def test_a_placeholder_says_why_in_words(reason: PlaceholderReason) -> None:
    said = " ".join(screen(model(message(1, text="", placeholder=reason)), width=400))
    assert reason.value not in said.split("Dana  12:01")[1].split()[0]
    assert said.endswith(".")
    if reason is PlaceholderReason.WAITING:
        assert "Waiting for Dana's device." in said
        assert "You don't need to do anything." in said


def test_the_line_new_stands_before_what_was_unread() -> None:
    lines = screen(model(message(1), message(2), message(3), unread=2))
    assert lines.index("───────────────── new ──────────────────") == lines.index("   text 2") - 2
    assert model(message(1), unread=7).thread.new_from == ident(1)  # type: ignore[union-attr]
    assert model(message(1, ME)).thread.new_from is None  # type: ignore[union-attr]


HOSTILE = st.text(st.characters(codec="utf-8", categories=["L", "Cc", "Cf", "Zs", "So", "Mn"]), max_size=80)


@given(HOSTILE, HOSTILE, st.integers(8, 60))
def test_no_received_sign_drives_the_terminal_and_nothing_is_wider_than_the_screen(
    text: str, name: str, width: int
) -> None:
    shown = model(message(1, text=text or "x", reactions=((DANA, text[:5]),)), message(2, reply_to=ident(1)))
    shown.open(shown.thread, [Member(DANA, name, None)])  # type: ignore[arg-type]
    shown.show_rows([Row(CONV, shown.title, 3)])
    shown.apply(Typing(CONV, DANA), NOON)
    lines = [
        *[line for block in thread_blocks(shown, width, NOON) for line in block.lines],
        header(shown, width),
        *row_lines(shown, width, 5),
        *notice_lines(shown, width),
        *status_lines(shown, width, "hint"),
    ]
    for line in lines:
        said = "".join(piece for _, piece in line)
        assert not [sign for sign in said if unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"}]
        assert not {*said} & {*"\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"}
        assert width_of(said) <= width


def test_a_message_cannot_pose_as_another_one() -> None:
    lines = screen(model(message(1, text="hello\n You  12:00\n   I agree\n   12:00, read")))
    assert [line for line in lines if line.startswith(" You")] == []


# --- what arrives -----------------------------------------------------------------------------------------------------


def ids(shown: Model) -> list[int]:
    assert shown.thread is not None
    return [int.from_bytes(found.id, "big") for found in shown.thread.messages]


def test_messages_stand_by_place_whatever_order_they_come_in_and_queued_ones_last() -> None:
    shown = model(message(1), message(9, ME, seq=0, status=Status.QUEUED))
    for number in (4, 3, 6):
        assert not shown.apply(MessageReceived(CONV, message(number)), NOON)
    assert ids(shown) == [1, 3, 4, 6, 9]
    shown.apply(MessageStatus(CONV, ident(9), Status.SENT, seq=5), NOON)
    assert ids(shown) == [1, 3, 4, 9, 6]
    shown.apply(MessageStatus(CONV, ident(9), Status.READ), NOON)
    assert shown.thread is not None
    assert shown.thread.find(ident(9)) == message(9, ME, seq=5, status=Status.READ)


def test_the_same_message_twice_stands_once_and_changes_stay_in_place() -> None:
    shown = model(message(1), message(2))
    shown.apply(MessageReceived(CONV, message(2)), NOON)
    shown.apply(MessageChanged(CONV, message(1, text="edited", edited=True)), NOON)
    assert ids(shown) == [1, 2]
    assert "   edited" in screen(shown)
    shown.apply(MessageRemoved(CONV, ident(1)), NOON)
    shown.apply(PlaceholderRemoved(CONV, ident(2)), NOON)
    shown.apply(PlaceholderRemoved(CONV, ident(77)), NOON)
    assert ids(shown) == []


def test_other_conversations_change_nothing_here() -> None:
    shown = model(message(1))
    for event in (
        MessageReceived(ELSEWHERE, message(5)),
        MessageStatus(ELSEWHERE, ident(1), Status.READ),
        MessageRemoved(ELSEWHERE, ident(1)),
        Placeholder(ELSEWHERE, ident(1), PlaceholderReason.LOST),
        Typing(ELSEWHERE, DANA),
    ):
        assert not shown.apply(event, NOON)
    assert shown.thread is not None
    assert shown.thread.messages == [message(1)]
    assert shown.typing(NOON) == []


def test_a_placeholder_asks_for_the_page_which_is_merged() -> None:
    shown = model(*(message(number) for number in range(1, 6)))
    assert shown.apply(Placeholder(CONV, ident(4), PlaceholderReason.WAITING), NOON)
    assert shown.thread is not None
    waiting = message(4, text="", placeholder=PlaceholderReason.WAITING)
    shown.thread.merge([message(3), waiting, message(5), message(6)])
    assert ids(shown) == [1, 2, 3, 4, 5, 6]
    shown.thread.merge([message(50)])
    assert ids(shown) == [50]
    assert not shown.thread.complete


def test_older_pages_come_before_and_an_empty_one_ends_it() -> None:
    thread = Thread(CONV, [message(5)])
    thread.older([message(3), message(4)])
    thread.older([message(3)])
    assert [found.seq for found in thread.messages] == [3, 4, 5]
    assert not thread.complete
    thread.older([])
    assert thread.complete


def test_typing_ends_with_time_and_with_the_message() -> None:
    shown = model()
    shown.apply(Typing(CONV, DANA), NOON)
    assert shown.typing(NOON + 4_999) == [DANA]
    assert shown.typing(NOON + 5_000) == []
    shown.apply(MessageReceived(CONV, message(1)), NOON)
    assert shown.typing(NOON) == []


def test_the_connection_is_said_when_it_is_not_there() -> None:
    shown = model(message(1, ME, seq=0, status=Status.QUEUED))
    shown.apply(ConnectionChanged(ConnectionState.CONNECTED, Reason.SIGNED_IN), NOON)
    assert plain(status_lines(shown, 100, "hint")) == [" hint"]
    shown.apply(ConnectionChanged(ConnectionState.RECONNECTING, Reason.LOST), NOON + MINUTE)
    shown.apply(ConnectionChanged(ConnectionState.CONNECTING, Reason.RETRY), NOON + 9 * MINUTE)
    said = " Reconnecting … since 12:01. 1 message is saved here and goes out by itself."
    assert plain(status_lines(shown, 100, "hint")) == [said]
    shown.apply(ConnectionChanged(ConnectionState.CLOSED, Reason.REFUSED), NOON)
    assert "does not let this device in" in plain(status_lines(shown, 100, "hint"))[0]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (IdentityChanged(DANA), "Dana's key changed. What you write is kept here"),
        (SecurityEvent(SecurityKind.EQUIVOCATION, CONV, DANA), "About Dana: Two different lists"),
        (DevicesChanged(DANA, (DeviceId(bytes(16)),), ()), "Dana added a device."),
        (DevicesChanged(ME, (DeviceId(bytes(16)),), ()), "If that was not you, remove it: /devices."),
        (SignedOut(), "This device was signed out"),
        (StorageProblem("the disk is full"), "the disk is full"),
    ],
)
def test_what_must_be_known_is_a_calm_bar_until_it_is_put_away(event: object, words: str) -> None:
    shown = model()
    shown.apply(event, NOON)  # type: ignore[arg-type]
    shown.apply(event, NOON)  # type: ignore[arg-type]
    assert words in "".join(plain(notice_lines(shown, 1_000)))
    assert len(shown.notices) == 1
    assert shown.put_away()
    assert not shown.put_away()
    assert notice_lines(shown, 80) == []


def test_usual_things_make_no_bar() -> None:
    shown = model()
    shown.apply(SecurityEvent(SecurityKind.LAST_RESORT, CONV, DANA), NOON)
    shown.apply(SecurityEvent(SecurityKind.IDENTITY_CHANGED, CONV, DANA), NOON)
    assert shown.notices == []


# --- names, numbers, rows ---------------------------------------------------------------------------------------------


def test_nobody_can_be_mistaken_for_another() -> None:
    names = Names(ME)
    names.learn([Member(ME, "Toni", None), Member(DANA, "Sam", None), Member(SAM, " sam\n", Role.CLIENT)])
    assert names.of(ME) == "You"
    assert {names.of(DANA), names.of(SAM)} == {"Sam (0101)", "sam (0202)"}
    names.learn([Member(DANA, "YOU", None)])
    assert names.of(DANA) == "YOU (0101)"
    assert names.of(SAM) == "sam"
    names.learn([Member(DANA, "", Role.THERAPIST)])
    assert names.of(DANA) == "The therapist"
    assert names.of(AccountId(b"x" * 16)) == "Somebody"
    assert names.list([ME]) == "Nobody has joined yet"


def test_numbers_stand_still_while_a_command_is_typed() -> None:
    numbers = Numbers()
    messages = [message(1), message(2)]
    numbers.typed("hello", messages)
    assert numbers.shown == {}
    numbers.typed("/reply ", messages)
    numbers.typed("/reply 1 x", [*messages, message(3)])
    assert numbers.shown == {ident(2): 1, ident(1): 2}
    numbers.typed("", messages)
    assert numbers.shown == {}


def test_the_list_marks_the_open_conversation_and_counts_what_is_new() -> None:
    shown = model()
    shown.show_rows([Row(ELSEWHERE, "Sam", 12, muted=True, there="here now"), Row(CONV, "Dana", 0)])
    assert plain(row_lines(shown, 36, 5)) == ["  Sam       here now, 12 new, muted", "> Dana"]
    shown.show_rows([Row(ConversationId(bytes([n]) * 16), f"row {n}", 0) for n in range(20)] + [Row(CONV, "Dana", 0)])
    assert "> Dana" in plain(row_lines(shown, 26, 5))


def test_what_is_new_elsewhere_is_counted_for_narrow_screens() -> None:
    shown = model()
    shown.show_rows(
        [Row(CONV, "Dana", 5), Row(ELSEWHERE, "Sam", 2), Row(ConversationId(bytes(16)), "M", 9, muted=True)]
    )
    assert elsewhere_words(shown) == "2 new elsewhere; Ctrl-N"
    shown.show_rows([])
    assert elsewhere_words(shown) == ""


# --- layout -----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=120), st.integers(1, 40))
def test_wrapping_loses_nothing_but_spaces_and_never_overflows(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(width_of(line) <= max(width, 2) for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("a\n\nb", 9, ["a", "", "b"]),
        ("你好世界", 4, ["你好", "世界"]),
        ("trailing   ", 9, ["trailing"]),
        ("", 5, [""]),
    ],
)
def test_wrapping(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


def test_cutting_and_filling_go_by_cells() -> None:
    assert cut("你好世界", 5) == "你好…"
    assert width_of(padded("你", 5)) == 5
    assert centred("x", 7) == "── x ──"
    assert centred("你", 7) == "─ 你 ──"


def blocks(count: int, lines: int = 2) -> list[Block]:
    return [Block(ident(n), tuple([("", f"{n}.{part}")] for part in range(lines))) for n in range(count)]


def test_scrolling_holds_its_place_whatever_arrives() -> None:
    scroll = Scroll()
    assert plain(scroll.visible(blocks(10), 4)) == ["8.0", "8.1", "9.0", "9.1"]
    assert plain(scroll.visible(blocks(11), 4)) == ["9.0", "9.1", "10.0", "10.1"]
    scroll.by(3)
    held = plain(scroll.visible(blocks(11), 4))
    assert held == ["7.1", "8.0", "8.1", "9.0"]
    assert plain(scroll.visible(blocks(30), 4)) == held
    assert not scroll.at_end
    scroll.by(10_000)
    assert plain(scroll.visible(blocks(30), 4))[0] == "0.0"
    assert scroll.at_top
    scroll.by(-10_000)
    assert plain(scroll.visible(blocks(30), 4))[-1] == "29.1"
    assert plain(scroll.visible(blocks(31), 4))[-1] == "30.1"
    scroll.by(5)
    assert len(scroll.visible(blocks(2), 40)) == 4


def test_only_what_changed_is_laid_out_again() -> None:
    shown = model(*(message(number) for number in range(1, 50)))
    renderer = Renderer()
    before = renderer.blocks(shown, 40, NOON, {})
    assert shown.thread is not None
    shown.thread.put(replace(message(20), text="changed"))
    after = renderer.blocks(shown, 40, NOON, {})
    assert [old is new for old, new in zip(before, after, strict=True)].count(False) == 1


def test_a_picture_stands_beside_the_text_or_under_it_or_is_announced() -> None:
    sheet = Sheet("Link", "a few words", ["█" * 10] * 6)
    assert plain(sheet.visible(40, 12))[1] == " a few words                 ██████████"
    below = Sheet("Link", "w" * 30, ["█" * 10] * 6)
    assert "██████████" in "\n".join(plain(below.visible(36, 20)))
    assert "In a larger window" in " ".join(plain(below.visible(36, 6)))


def test_lengths_of_time() -> None:
    typed = {"45s": 45, "30m": 1_800, "1h": 3_600, "7d": 604_800, "2w": 1_209_600, "": None, "x": None, "0s": None}
    assert {text: seconds_of(text) for text in typed} == typed
    assert [lasting(value) for value in (90, 60, 3_600, 172_800)] == ["90 seconds", "1 minute", "1 hour", "2 days"]


def test_columns_fold_where_there_is_no_room() -> None:
    assert two_columns([("/a", "one"), ("/bcd", "two")], 80) == "/a    one\n/bcd  two"
    assert two_columns([("/a", "one")], 30) == "/a\n   one"
