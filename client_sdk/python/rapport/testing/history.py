"""Was anything lost, shown twice, shown in the wrong order or made up? A pure judge over what clients wrote down.

Every client process keeps a journal (`rapport.testing.journal`): one JSON object per line, in the order in which things
happened to it.

    {"kind": "member", "t": 1.0, "client": "dana", "conv": "c0"}
    {"kind": "invoke", "t": 1.2, "client": "dana", "conv": "c0", "id": "11", "digest": "9f"}
    {"kind": "ack",    "t": 1.3, "client": "dana", "conv": "c0", "id": "11", "seq": 7}
    {"kind": "recv",   "t": 1.3, "client": "toni", "conv": "c0", "id": "11", "seq": 7}
    {"kind": "shown",  "t": 1.4, "client": "toni", "conv": "c0", "id": "11", "seq": 7, "digest": "9f"}
    {"kind": "kill",   "t": 1.5, "client": "harness"}
    {"kind": "left",   "t": 1.6, "client": "phone", "conv": "c0"}
    {"kind": "restore", "t": 1.7, "client": "harness"}
    {"kind": "alarm",  "t": 1.8, "client": "dana", "what": "unlisted_device"}

A client is one device: two devices of one person are two clients, and each must be shown what the other one writes.
member: this client must be shown what is accepted there. invoke: a send began. ack: the server accepted it. recv: it
arrived at another device. shown: it was read there. kill: a server was killed. left: the client does not belong there
any more (removed, signed out); whatever is sent from then on must not be shown to it. restore: the server came back
with an older store; what it had accepted before may get another place.
alarm: the client has told its host of something that an honest server never does.

`t` is monotonic seconds; `kill` is compared with the others' `t`, so all processes must run on one machine. `digest` is
any digest of the text (`journal.text_digest`), so that what is shown can be compared with what was sent.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec
from msgspec import Struct

__all__ = ["Entry", "HistoryProblem", "Verdict", "check", "read"]

_EXAMPLES: Final = 20
"""Findings that a verdict spells out; the counts go on."""


class HistoryProblem(ValueError):
    """The history itself cannot be judged: a line that is no entry, or one id sent twice."""


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a journal. Ids are hexadecimal; fields that a kind does not have stay empty."""

    kind: Literal["member", "invoke", "ack", "recv", "shown", "kill", "left", "restore", "alarm"]
    t: float
    client: str
    conv: str = ""
    id: str = ""
    seq: int = 0
    digest: str = ""
    what: str = ""


class Verdict(Struct):
    """What the journals add up to. Received, decrypted and lost count messages once per recipient."""

    sent: int = 0
    """Sends that were begun."""
    accepted: int = 0
    """Sends that the server answered."""
    received: int = 0
    """Messages that arrived at a member other than the sender."""
    decrypted: int = 0
    """Of these, shown with the text that was sent."""
    lost: int = 0
    """Accepted, but not shown to a member."""
    duplicated: int = 0
    """Shown again, or accepted at two places."""
    reordered: int = 0
    """Shown after a message of a higher place, placed against the order of sending, or at a place that is taken."""
    phantoms: int = 0
    """Shown or answered, but never sent so: unknown ids, other text, other conversations, strangers."""
    alarms: int = 0
    """Security events: of an honest server there are none, whatever happens to it."""
    unanswered_at_kill: int = 0
    """Most sends begun and not answered at the moment of a kill."""
    findings: list[str] = []
    """The first 20 of them in words; ids only."""

    @property
    def flawless(self) -> bool:
        """Nothing lost, duplicated, reordered or made up, and no false alarm."""
        return not (self.lost or self.duplicated or self.reordered or self.phantoms or self.alarms)


def read(journal: bytes) -> list[Entry]:
    """The entries of one journal. A torn last line is left out: its writer was killed while writing.

    Raises HistoryProblem for any other line that is no entry.
    """
    entries = []
    *lines, last = journal.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_DECODER.decode(line))
        except msgspec.DecodeError as error:
            raise HistoryProblem(f"line {number}: {error}") from None
    if last:
        with suppress(msgspec.DecodeError):
            entries.append(_DECODER.decode(last))
    return entries


def check(journals: Iterable[Sequence[Entry]]) -> Verdict:
    """Judge journals, each in its writer's order; several of one client (restarts) in their order of time.

    Raises HistoryProblem when one id was sent twice: then nothing can be said about it.
    """
    return _Judge([list(journal) for journal in journals]).verdict


_DECODER: Final = msgspec.json.Decoder(Entry)


class _Judge:
    def __init__(self, journals: list[list[Entry]]) -> None:
        self._entries = [entry for journal in journals for entry in journal]
        self.verdict = Verdict(findings=[])
        self._sent = self._read_sent()
        self._members: dict[str, set[str]] = {}
        for entry in self._of("member"):
            self._members.setdefault(entry.conv, set()).add(entry.client)
        self._left = {(entry.client, entry.conv): entry.t for entry in self._of("left")}
        self._restored = min((entry.t for entry in self._of("restore")), default=math.inf)
        self._places = self._judge_answers()
        self._judge_sending_order()
        self._judge_received(self._judge_shown())
        self._count_unanswered()
        self._count_alarms()

    def _of(self, kind: str) -> Iterator[Entry]:
        return (entry for entry in self._entries if entry.kind == kind)

    def _found(self, what: str, entry: Entry) -> None:
        if len(self.verdict.findings) < _EXAMPLES:
            place = f"{entry.client} conversation {entry.conv[:8]} message {entry.id[:8]} place {entry.seq}"
            self.verdict.findings.append(f"{what}: {place}")

    def _read_sent(self) -> dict[str, Entry]:
        sent: dict[str, Entry] = {}
        for entry in self._of("invoke"):
            if entry.id in sent:
                raise HistoryProblem(f"message {entry.id[:8]} was sent twice")
            sent[entry.id] = entry
        self.verdict.sent = len(sent)
        return sent

    def _judge_answers(self) -> dict[str, Entry]:
        """The first answer to each send; a place belongs to one message, and a message to one place."""
        answers: dict[str, Entry] = {}
        taken: dict[tuple[str, int], str] = {}
        for entry in self._of("ack"):
            invoked = self._sent.get(entry.id)
            if invoked is None or invoked.conv != entry.conv or invoked.client != entry.client:
                self.verdict.phantoms += 1
                self._found("answered but never sent", entry)
                continue
            first = answers.setdefault(entry.id, entry)
            if first.seq != entry.seq:
                self.verdict.duplicated += 1
                self._found("accepted at two places", entry)
            elif taken.setdefault((entry.conv, entry.seq), entry.id) != entry.id:
                self.verdict.reordered += 1
                self._found("accepted at a place that is taken", entry)
        self.verdict.accepted = len(answers)
        return answers

    def _judge_sending_order(self) -> None:
        """What one client sends into one conversation keeps its order."""
        highest: dict[tuple[str, str], int] = {}
        for entry in self._sent.values():
            answer = self._places.get(entry.id)
            if answer is None:
                continue
            way = (entry.client, entry.conv)
            if answer.seq < highest.get(way, 0):
                self.verdict.reordered += 1
                self._found("placed against the order of sending", answer)
            highest[way] = max(answer.seq, highest.get(way, 0))

    def _judge_shown(self) -> set[tuple[str, str]]:
        """Who was shown what, rightly."""
        shown: set[tuple[str, str]] = set()
        highest: dict[tuple[str, str], int] = {}
        for entry in self._of("shown"):
            invoked = self._sent.get(entry.id)
            if invoked is None or not self._may_see(entry, invoked) or entry.digest != invoked.digest:
                self.verdict.phantoms += 1
                self._found("shown but never sent so", entry)
            elif (entry.client, entry.id) in shown:
                self.verdict.duplicated += 1
                self._found("shown again", entry)
            else:
                shown.add((entry.client, entry.id))
                self._judge_place(entry, highest)
        self.verdict.decrypted = len(shown)
        return shown

    def _may_see(self, entry: Entry, invoked: Entry) -> bool:
        member = entry.client in self._members.get(entry.conv, ())
        gone = invoked.t >= self._left.get((entry.client, entry.conv), math.inf)
        return member and not gone and entry.conv == invoked.conv and entry.client != invoked.client

    def _judge_place(self, entry: Entry, highest: dict[tuple[str, str], int]) -> None:
        where = (entry.client, entry.conv)
        answer = self._places.get(entry.id)
        moved = answer is not None and answer.seq != entry.seq and not self._placed_anew(entry, answer)
        if entry.seq <= highest.get(where, 0) or moved:
            self.verdict.reordered += 1
            self._found("shown out of its place", entry)
        highest[where] = max(entry.seq, highest.get(where, 0))

    def _placed_anew(self, entry: Entry, answer: Entry) -> bool:
        """Accepted by a store that was replaced by an older one before this client was shown it."""
        return answer.t <= self._restored <= entry.t and entry.seq > answer.seq

    def _judge_received(self, shown: set[tuple[str, str]]) -> None:
        arrived = {(entry.client, entry.id) for entry in self._of("recv") if entry.id in self._sent}
        self.verdict.received = len(arrived | shown)
        for answer in self._places.values():
            for client in self._members.get(answer.conv, set()) - {answer.client}:
                if (client, answer.id) not in shown and (client, answer.conv) not in self._left:
                    self.verdict.lost += 1
                    self._found(f"accepted but not shown to {client}", answer)

    def _count_alarms(self) -> None:
        for alarm in self._of("alarm"):
            self.verdict.alarms += 1
            self._found(f"alarm {alarm.what}", alarm)

    def _count_unanswered(self) -> None:
        for kill in self._of("kill"):
            begun = sum(entry.t <= kill.t for entry in self._sent.values())
            answered = sum(entry.t <= kill.t for entry in self._places.values())
            self.verdict.unanswered_at_kill = max(self.verdict.unanswered_at_kill, begun - answered)
