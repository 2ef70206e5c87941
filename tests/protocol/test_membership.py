"""Membership chains: every rule of the fold, the limits, and that every byte is signed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack
from msgspec.structs import replace

from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RemoteError
from rapport_protocol.limits import MEMBERS_PER_CONVERSATION
from rapport_protocol.membership import OPEN_INVITES, MembershipState, advance, fold, require_live
from rapport_protocol.membership_entries import (
    Action,
    ChangeRole,
    Checkpoint,
    ConversationKind,
    Join,
    Leave,
    MemberRole,
    Remove,
    SignedEntry,
)
from rapport_protocol.rules import Rule, RuleBroken
from tests.protocol.chains import DAY, Conversation, Person

THERAPIST, CLIENT = MemberRole.THERAPIST, MemberRole.CLIENT


def refused(conversation: Conversation, entry: SignedEntry) -> Rule:
    """The rule an entry breaks; the state must be as before."""
    before = msgpack.encode(conversation.state)
    with pytest.raises(RuleBroken) as broken:
        conversation.add(entry)
    assert msgpack.encode(conversation.state) == before
    return broken.value.rule


def group_of(*names: str) -> tuple[Conversation, list[Person]]:
    """Dana's group with clients."""
    conversation, people = Conversation(Person("Dana")), [Person(name) for name in names]
    for person in people:
        conversation.join(person)
    return conversation, people


def test_a_chain_folds_to_the_same_state_everywhere() -> None:
    conversation, people = group_of("Ben", "Ann")
    assert [member.account for member in conversation.state.members[1:]] == [person.account for person in people]
    assert fold([SignedEntry.parse(entry.encoded) for entry in conversation.entries], conversation.lookup) == (
        conversation.state
    )
    assert msgpack.decode(msgpack.encode(conversation.state), type=MembershipState) == conversation.state
    assert conversation.entries[-1].id == conversation.state.head[:16]
    with pytest.raises(RuleBroken, match=Rule.GENESIS):
        fold([], conversation.lookup)
    with pytest.raises(RuleBroken, match=Rule.GENESIS):
        fold(conversation.entries[1:], conversation.lookup)


@pytest.mark.parametrize("at", range(5))
def test_every_changed_byte_of_every_entry_is_refused(at: int) -> None:
    conversation, (ben, _) = group_of("Ben", "Ann")
    entries = [
        *conversation.entries[:3],
        conversation.entry(conversation.creator, Checkpoint(ben.account, 1, ben.head.hash)),
        conversation.entry(conversation.creator, ChangeRole(ben.account, THERAPIST)),
    ]
    before = (
        None if at == 0 else fold(conversation.entries[:at] if at < 3 else conversation.entries, conversation.lookup)
    )
    for place in range(len(entries[at].encoded)):
        changed = bytearray(entries[at].encoded)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(RemoteError):
            entry = SignedEntry.parse(bytes(changed))
            fold([entry], conversation.lookup) if before is None else advance(before, entry, conversation.lookup)
            pytest.fail(f"byte {place}")


def test_truncated_and_extended_entries_are_refused() -> None:
    conversation, _ = group_of("Ben")
    for entry in conversation.entries:
        for size in range(0, len(entry.encoded), 5):
            with pytest.raises(FormatError):
                SignedEntry.parse(entry.encoded[:size])
        with pytest.raises(FormatError):
            SignedEntry.parse(entry.encoded + b"\x00")


def test_what_this_version_does_not_know_is_unsupported() -> None:
    conversation, _ = group_of()
    entry = conversation.entry(conversation.creator, Leave()).encoded
    at = 16 + 8 + 32 + 16 + 16 + 8
    with pytest.raises(FormatError) as error:
        SignedEntry.parse(entry[:at] + b"\x08" + entry[at + 1 :])
    assert error.value.code is ErrorCode.UNSUPPORTED
    genesis = conversation.entries[0].encoded
    for place in (at + 5, at + 6):
        with pytest.raises(FormatError) as error:
            SignedEntry.parse(genesis[:place] + b"\x09" + genesis[place + 1 :])
        assert error.value.code is ErrorCode.UNSUPPORTED


def test_join_and_join_alone_takes_the_invite_key() -> None:
    conversation, (ben,) = group_of("Ben")
    isk, _ = conversation.invite()
    with pytest.raises(LocalError):
        conversation.fields(ben, Leave()).sign(ben.devices[0].key, isk)
    with pytest.raises(LocalError):
        conversation.entry(ben, Join(conversation.invite()[1].invite, ben.aik.public, ben.head.hash))


def test_twenty_members_are_the_most() -> None:
    conversation, _ = group_of(*(f"client {n}" for n in range(MEMBERS_PER_CONVERSATION - 1)))
    assert len(conversation.state.members) == MEMBERS_PER_CONVERSATION
    isk, invite = conversation.open_invite(conversation.creator)
    assert refused(conversation, conversation.join_entry(Person("late"), isk, invite)) is Rule.TOO_MANY_MEMBERS


def test_32_invites_may_be_open_and_expired_ones_make_room() -> None:
    conversation, _ = group_of()
    opened = [conversation.open_invite(conversation.creator) for _ in range(OPEN_INVITES)]
    assert refused(conversation, conversation.entry(conversation.creator, conversation.invite()[1])) is (
        Rule.TOO_MANY_INVITES
    )
    conversation.now = opened[0][1].expires_ms
    conversation.open_invite(conversation.creator)
    assert len(conversation.state.invites) == OPEN_INVITES
    assert conversation.state.invite(opened[0][1].invite) is None


def test_an_invite_serves_once_and_until_its_end() -> None:
    conversation, _ = group_of()
    isk, invite = conversation.open_invite(conversation.creator)
    late = conversation.join_entry(Person("late"), isk, invite, ts_ms=invite.expires_ms + 1)
    assert refused(conversation, late) is Rule.INVITE_EXPIRED
    conversation.add(conversation.join_entry(Person("in time"), isk, invite, ts_ms=invite.expires_ms))
    assert refused(conversation, conversation.join_entry(Person("second"), isk, invite)) is Rule.INVITE_UNKNOWN


@pytest.mark.parametrize(("life", "legal"), [(0, False), (1, True), (7 * DAY, True), (7 * DAY + 1, False)])
def test_an_invite_lives_seven_days_at_most(life: int, legal: bool) -> None:
    conversation, _ = group_of()
    _, invite = conversation.invite()
    entry = conversation.entry(conversation.creator, replace(invite, expires_ms=conversation.now + 1 + life))
    if legal:
        conversation.add(entry)
    else:
        assert refused(conversation, entry) is Rule.INVITE_LIFE


def test_who_loses_the_right_to_invite_loses_the_open_invites() -> None:
    def remaining(action: Action, by: str = "Dana") -> int:
        conversation, ann = Conversation(Person("Dana")), Person("Ann")
        conversation.join(ann, THERAPIST)
        conversation.open_invite(ann)
        conversation.open_invite(conversation.creator)
        conversation.act(ann if by == "Ann" else conversation.creator, action)
        return len(conversation.state.invites)

    ann = Person("Ann").account
    assert remaining(ChangeRole(ann, CLIENT)) == 1
    assert remaining(Remove(ann)) == 1
    assert remaining(Leave(), by="Ann") == 1
    assert remaining(ChangeRole(ann, THERAPIST)) == 2


def test_a_checkpoint_shuts_a_removed_device_out() -> None:
    conversation = Conversation(Person("Dana"))
    dana, ann = conversation.creator, Person("Ann")
    conversation.join(ann, THERAPIST)
    stolen = dana.add_device()
    conversation.open_invite(dana, device=stolen)
    old_list = dana.head.version
    conversation.open_invite(dana)
    dana.remove_device(stolen)
    conversation.act(ann, Checkpoint(dana.account, dana.head.version, dana.head.hash))
    assert len(conversation.state.invites) == 1
    assert conversation.state.floor(dana.account) == dana.head.version
    fields = replace(conversation.fields(dana, conversation.invite()[1], stolen), list_version=old_list)
    assert refused(conversation, fields.sign(stolen.key)) is Rule.LIST_BACKWARDS
    current = conversation.fields(dana, conversation.invite()[1], stolen)
    assert refused(conversation, current.sign(stolen.key)) is Rule.DEVICE_UNLISTED
    unseen = Checkpoint(dana.account, dana.head.version + 1, bytes(32))
    assert refused(conversation, conversation.entry(ann, unseen)) is Rule.LIST_UNKNOWN
    earlier = Checkpoint(dana.account, old_list, dana.lists[old_list - 1].hash)
    assert refused(conversation, conversation.entry(ann, earlier)) is Rule.LIST_BACKWARDS


def test_the_floor_outlives_membership() -> None:
    conversation, (ben,) = group_of("Ben")
    ben.add_device()
    conversation.act(ben, Leave())
    isk, invite = conversation.open_invite(conversation.creator)
    again = conversation.join_entry(ben, isk, invite, list_version=1)
    assert refused(conversation, again) is Rule.LIST_BACKWARDS
    conversation.add(conversation.join_entry(ben, isk, invite))


def test_somebody_is_left_to_lead() -> None:
    conversation, (ben,) = group_of("Ben")
    dana = conversation.creator
    for last in (Leave(), ChangeRole(dana.account, CLIENT), Remove(dana.account)):
        assert refused(conversation, conversation.entry(dana, last)) is Rule.LAST_ADMIN
    conversation.act(dana, ChangeRole(ben.account, THERAPIST))
    conversation.act(dana, Leave())
    conversation.act(ben, Leave())
    assert conversation.state.members == ()


def test_owners_are_made_by_no_entry() -> None:
    conversation = Conversation(Person("owner"), role=MemberRole.OWNER)
    ann = Person("Ann")
    conversation.join(ann, THERAPIST)
    demote = conversation.entry(ann, ChangeRole(conversation.creator.account, CLIENT))
    assert refused(conversation, demote) is Rule.WRONG_ROLE
    with pytest.raises(RuleBroken, match=Rule.WRONG_ROLE):
        Conversation(Person("client"), role=CLIENT)


def test_a_member_acts_under_the_identity_it_joined_with() -> None:
    conversation, (ben,) = group_of("Ben")
    impostor = Person("impostor")
    impostor.account = ben.account
    impostor.lists = [replace(impostor.head.content, account=ben.account, version=9).sign(impostor.aik)]
    conversation.people.insert(0, impostor)
    assert refused(conversation, conversation.entry(impostor, Leave())) is Rule.WRONG_IDENTITY


def test_a_pair_stays_a_pair() -> None:
    conversation = Conversation(Person("Dana"), ConversationKind.PAIR)
    dana, ben = conversation.creator, Person("Ben")
    spare = conversation.open_invite(dana)
    conversation.join(ben)
    assert conversation.state.invites == ()
    assert refused(conversation, conversation.join_entry(Person("third"), *spare)) is Rule.PAIR_FROZEN
    for action in (Leave(), Remove(ben.account), ChangeRole(ben.account, THERAPIST), conversation.invite()[1]):
        assert refused(conversation, conversation.entry(dana, action)) is Rule.PAIR_FROZEN
    conversation.act(ben, Checkpoint(ben.account, 1, ben.head.hash))


def test_live_entries_need_a_current_device() -> None:
    conversation = Conversation(Person("Dana"))
    dana = conversation.creator
    stolen = dana.add_device()
    entry = conversation.entry(dana, conversation.invite()[1], stolen)
    require_live(entry, dana.head.content)
    dana.remove_device(stolen)
    conversation.add(entry)  # as history it stays valid
    for current in (dana.head.content, Person("Ben").head.content):
        with pytest.raises(RuleBroken, match=Rule.DEVICE_UNLISTED):
            require_live(entry, current)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(range(6))), max_size=14))
def test_whatever_is_tried_somebody_leads_and_nobody_is_counted_twice(tries: list[tuple[int, int, int]]) -> None:
    conversation = Conversation(Person("Dana"))
    people = [conversation.creator, *(Person(n) for n in range(4))]
    conversation.people = list(people)
    for who, whom, what in tries:
        actor, subject = people[who], people[whom]
        actions: list[Action] = [
            Remove(subject.account),
            Leave(),
            ChangeRole(subject.account, (THERAPIST, CLIENT)[who % 2]),
            Checkpoint(subject.account, 1, subject.head.hash),
        ]
        before = conversation.state
        try:
            if what < len(actions):
                conversation.act(actor, actions[what])
            else:
                conversation.join(subject, (THERAPIST, CLIENT)[what % 2], by=actor)
        except RuleBroken:
            assert conversation.state.epoch in {before.epoch, before.epoch + 1}
        members = conversation.state.members
        assert len({member.account for member in members}) == len(members)
        assert not members or any(member.role.admin for member in members)
        assert conversation.state.epoch == len(conversation.entries)
    assert fold(conversation.entries, conversation.lookup) == conversation.state


@given(st.binary(max_size=300))
def test_any_bytes_are_an_entry_or_refused(source: bytes) -> None:
    with pytest.raises(FormatError):
        SignedEntry.parse(source)
