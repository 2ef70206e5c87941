"""The checker: a true history passes, and each kind of doctored one is counted to the last fault."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from rapport.testing.history import Entry, HistoryProblem, Verdict, check, read
from rapport.testing.journal import Journal, text_digest
from tests.house.tree import ROOT

CONVERSATIONS = ("c1", "c2")
MESSAGES = 100
FAULTS = 10

Histories = dict[str, list[Entry]]


def true_history() -> Histories:
    """Two clients write a hundred messages each into two conversations, in turns, and see each other's."""
    dana = [Entry("member", 0, "dana", conv) for conv in CONVERSATIONS]
    toni = [Entry("member", 0, "toni", conv) for conv in CONVERSATIONS]
    journals, places = {"dana": dana, "toni": toni}, {conv: itertools.count(1) for conv in CONVERSATIONS}
    for number in range(2 * MESSAGES):
        sender, reader = ("dana", "toni") if number % 2 else ("toni", "dana")
        conv, t = CONVERSATIONS[number // 2 % 2], float(number)
        message, digest, seq = f"m{number}", text_digest(f"text {number}"), next(places[conv])
        journals[sender] += [
            Entry("invoke", t, sender, conv, message, 0, digest),
            Entry("ack", t + 0.25, sender, conv, message, seq),
        ]
        journals[reader] += [
            Entry("recv", t + 0.5, reader, conv, message, seq),
            Entry("shown", t + 0.5, reader, conv, message, seq, digest),
        ]
    return journals


def indices(journal: list[Entry], kind: str, conv: str = "") -> list[int]:
    """Places of every third entry of a kind, so that faults do not touch each other."""
    every = [at for at, entry in enumerate(journal) if entry.kind == kind and conv in {"", entry.conv}]
    return every[1::3][:FAULTS]


def not_shown(journals: Histories) -> None:
    gone = set(indices(journals["toni"], "shown"))
    journals["toni"] = [entry for at, entry in enumerate(journals["toni"]) if at not in gone]


def never_arrived(journals: Histories) -> None:
    gone = {journals["toni"][at].id for at in indices(journals["toni"], "recv")}
    journals["toni"] = [entry for entry in journals["toni"] if entry.id not in gone]


def shown_again(journals: Histories) -> None:
    for at in reversed(indices(journals["dana"], "shown")):
        journals["dana"].insert(at + 3, journals["dana"][at])


def shown_in_the_wrong_order(journals: Histories) -> None:
    toni = journals["toni"]
    shown = [at for at, entry in enumerate(toni) if entry.kind == "shown" and entry.conv == "c1"]
    for first, second in list(zip(shown[::2], shown[1::2], strict=True))[:FAULTS]:
        toni[first], toni[second] = toni[second], toni[first]


def never_sent(journals: Histories) -> None:
    for number in range(FAULTS):
        journals["toni"].append(Entry("shown", 999, "toni", "c1", f"invented{number}", 1000 + number, "00"))


def other_text(journals: Histories) -> None:
    for at in indices(journals["toni"], "shown"):
        journals["toni"][at] = replace(journals["toni"][at], digest=text_digest("another text"))


def into_another_conversation(journals: Histories) -> None:
    for at in indices(journals["toni"], "shown", "c1"):
        journals["toni"][at] = replace(journals["toni"][at], conv="c2")


def to_a_stranger(journals: Histories) -> None:
    seen = [entry for entry in journals["toni"] if entry.kind == "shown"][:FAULTS]
    journals["eve"] = [replace(entry, client="eve") for entry in seen]


def accepted_at_two_places(journals: Histories) -> None:
    for at in reversed(indices(journals["dana"], "ack")):
        journals["dana"].insert(at + 1, replace(journals["dana"][at], seq=5000 + at))


def place_given_twice(journals: Histories) -> None:
    acks = [entry for entry in journals["toni"] if entry.kind == "ack" and entry.conv == "c1"]
    journals["sam"] = []
    for number in range(FAULTS):
        sent = Entry("invoke", 900 + number, "sam", "c1", f"late{number}", 0, "00")
        journals["sam"] += [sent, replace(sent, kind="ack", seq=acks[number].seq)]


def placed_against_the_order_of_sending(journals: Histories) -> None:
    invokes = indices(journals["dana"], "invoke", "c1")
    answered = {entry.id: at for at, entry in enumerate(journals["dana"]) if entry.kind == "ack"}
    for at in invokes:
        later = next(e for e in journals["dana"][at + 1 :] if e.kind == "invoke" and e.conv == "c1")
        one, two = answered[journals["dana"][at].id], answered[later.id]
        first, second = journals["dana"][one].seq, journals["dana"][two].seq
        journals["dana"][one] = replace(journals["dana"][one], seq=second)
        journals["dana"][two] = replace(journals["dana"][two], seq=first)
        for where, entry in enumerate(journals["toni"]):  # everybody was told the same, so that nothing else is wrong
            swapped = {first: second, second: first}.get(entry.seq)
            if entry.kind in {"recv", "shown"} and entry.conv == "c1" and swapped is not None:
                journals["toni"][where] = replace(entry, seq=swapped)
    journals["toni"].sort(key=lambda entry: (entry.kind != "member", entry.seq))


def answered_but_never_sent(journals: Histories) -> None:
    gone = {journals["dana"][at].id for at in indices(journals["dana"], "invoke")}
    journals["dana"] = [entry for entry in journals["dana"] if entry.kind != "invoke" or entry.id not in gone]
    journals["toni"] = [entry for entry in journals["toni"] if entry.id not in gone]


def shown_at_another_place(journals: Histories) -> None:
    toni = journals["toni"]
    tail = [at for at, entry in enumerate(toni) if entry.kind == "shown" and entry.conv == "c2"][-FAULTS:]
    for number, at in enumerate(tail):
        toni[at] = replace(toni[at], seq=9000 + number)


def to_one_who_has_left(journals: Histories) -> None:
    after = [entry for entry in journals["toni"] if entry.kind == "invoke" and entry.conv == "c1"][FAULTS:]
    journals["phone"] = [Entry("member", 0, "phone", "c1"), Entry("left", after[0].t, "phone", "c1")]
    for number, entry in enumerate(after[:FAULTS]):
        answer = next(held for held in journals["toni"] if held.kind == "ack" and held.id == entry.id)
        journals["phone"].append(replace(answer, kind="shown", client="phone", digest=entry.digest, t=900.0 + number))


def alarmed(journals: Histories) -> None:
    journals["toni"] += [Entry("alarm", 900.0 + number, "toni", what="unlisted_device") for number in range(FAULTS)]


def placed_anew_without_a_restore(journals: Histories) -> None:
    tail = [at for at, entry in enumerate(journals["toni"]) if entry.kind == "shown" and entry.conv == "c1"][-FAULTS:]
    journals["harness"] = [Entry("restore", 9_999.0, "harness")]  # only after all of it was shown
    for number, at in enumerate(tail):
        journals["toni"][at] = replace(journals["toni"][at], seq=9000 + number)


DOCTORS: list[tuple[Callable[[Histories], None], str]] = [
    (not_shown, "lost"),
    (never_arrived, "lost"),
    (shown_again, "duplicated"),
    (accepted_at_two_places, "duplicated"),
    (shown_in_the_wrong_order, "reordered"),
    (placed_anew_without_a_restore, "reordered"),
    (shown_at_another_place, "reordered"),
    (place_given_twice, "reordered"),
    (placed_against_the_order_of_sending, "reordered"),
    (never_sent, "phantoms"),
    (other_text, "phantoms"),
    (into_another_conversation, "phantoms"),
    (to_a_stranger, "phantoms"),
    (to_one_who_has_left, "phantoms"),
    (alarmed, "alarms"),
    (answered_but_never_sent, "phantoms"),
]


def test_a_true_history_is_flawless() -> None:
    verdict = check(true_history().values())
    assert verdict.flawless
    assert verdict == Verdict(sent=200, accepted=200, received=200, decrypted=200, findings=[])


@pytest.mark.parametrize(("doctor", "count"), DOCTORS, ids=lambda value: getattr(value, "__name__", value))
def test_ten_planted_faults_are_counted_as_ten(doctor: Callable[[Histories], None], count: str) -> None:
    journals = true_history()
    doctor(journals)
    verdict = check(journals.values())
    assert getattr(verdict, count) == FAULTS
    assert not verdict.flawless
    assert len(verdict.findings) >= FAULTS


def test_what_was_not_decrypted_was_still_received() -> None:
    journals = true_history()
    not_shown(journals)
    verdict = check(journals.values())
    assert (verdict.received, verdict.decrypted) == (200, 190)


def test_sends_without_an_answer_are_counted_at_the_kill() -> None:
    journals = true_history()
    late = [entry.id for entry in journals["dana"] if entry.kind == "ack"][-25:]
    journals["dana"] = [
        replace(entry, t=1000.0) if entry.kind == "ack" and entry.id in late else entry for entry in journals["dana"]
    ]
    journals["harness"] = [Entry("kill", t, "harness") for t in (10.1, 999.0, 1001.0)]
    assert check(journals.values()).unanswered_at_kill == 25


def test_a_device_that_has_left_is_owed_nothing_more() -> None:
    journals = true_history()
    journals["phone"] = [Entry("member", 0, "phone", "c1"), Entry("left", 50.0, "phone", "c1")]
    assert check(journals.values()).flawless
    del journals["phone"][1]
    assert check(journals.values()).lost > 0


def test_after_a_restore_what_was_accepted_before_may_have_another_place() -> None:
    journals = true_history()
    tail = [at for at, entry in enumerate(journals["toni"]) if entry.kind == "shown" and entry.conv == "c1"][-5:]
    for number, at in enumerate(tail):
        journals["toni"][at] = replace(journals["toni"][at], seq=9000 + number, t=1001.0 + number)
    journals["harness"] = [Entry("restore", 1000.0, "harness")]
    assert check(journals.values()).flawless


def test_an_unanswered_send_is_not_lost() -> None:
    journals = true_history()
    journals["dana"].append(Entry("invoke", 999, "dana", "c1", "waiting", 0, "00"))
    verdict = check(journals.values())
    assert verdict.flawless
    assert (verdict.sent, verdict.accepted) == (201, 200)


def test_one_id_sent_twice_cannot_be_judged() -> None:
    journals = true_history()
    journals["dana"].append(next(entry for entry in journals["dana"] if entry.kind == "invoke"))
    with pytest.raises(HistoryProblem):
        check(journals.values())


def test_journals_are_read_as_they_were_written(tmp_path: Path) -> None:
    conv, message = b"\xc0" * 16, b"\x11" * 16
    for text in ("first life", "second life"):
        with Journal(tmp_path / "dana.jsonl", "dana") as journal:
            journal.member(conv)
            journal.invoke(conv, message, text)
            journal.ack(conv, message, 7)
            journal.recv(conv, message, 8)
            journal.shown(conv, message, 8, text)
            journal.kill()
            journal.left(conv)
            journal.restore()
            journal.alarm("unlisted_device")
    content = (tmp_path / "dana.jsonl").read_bytes()
    entries = read(content)
    assert [entry.kind for entry in entries] == 2 * [
        "member",
        "invoke",
        "ack",
        "recv",
        "shown",
        "kill",
        "left",
        "restore",
        "alarm",
    ]
    assert entries[1].digest == text_digest("first life") == entries[4].digest
    assert entries[2].seq == 7
    assert b"life" not in content
    assert [entry.t for entry in entries] == sorted(entry.t for entry in entries)


def test_the_example_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert examples
    monkeypatch.chdir(tmp_path)
    for example in examples:
        exec(compile(example, "docs/testing.md", "exec"), {})


def test_a_torn_last_line_is_left_out_and_any_other_is_refused() -> None:
    whole = msgspec.json.encode(Entry("kill", 1.0, "harness"))
    assert read(whole + b"\n" + whole[:-4]) == [Entry("kill", 1.0, "harness")]
    assert read(whole) == [Entry("kill", 1.0, "harness")]
    assert read(b"") == []
    for torn in (whole[:-4], b"", b'{"kind": "unheard", "t": 1, "client": "x"}'):
        with pytest.raises(HistoryProblem, match="line 1"):
            read(torn + b"\n" + whole + b"\n")
