"""Device lists: what may follow what, at the limits, and that every byte is signed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport_protocol.device_lists import (
    IDENTITY_KEY,
    LISTS_PER_CHAIN,
    REVOKED_PER_LIST,
    DeviceListChain,
    SignedDeviceList,
    Standing,
    check_first,
    check_successor,
)
from rapport_protocol.errors import FormatError, LocalError, RemoteError
from rapport_protocol.ids import DeviceId
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import Reader
from tests.protocol.chains import Person


@pytest.fixture
def dana() -> Person:
    dana = Person("Dana")
    dana.add_device()
    dana.add_device()
    dana.remove_device(dana.devices[1])
    return dana


def chain_of(person: Person, start: int = 0) -> DeviceListChain:
    return DeviceListChain.first(person.account, person.aik.public, person.lists[start:])


def test_lists_come_back_as_they_were_signed(dana: Person) -> None:
    for held in dana.lists:
        assert SignedDeviceList.parse(held.encoded) == held
        assert held.content.encode() + held.signature == held.encoded


def test_a_chain_is_verified_from_its_start(dana: Person) -> None:
    chain = chain_of(dana)
    assert chain.head is dana.head
    assert chain.at(2) is dana.lists[1]
    assert chain.at(9) is None
    assert chain.matches(3, dana.lists[2].hash[:16]) is True
    assert chain.matches(3, dana.lists[1].hash) is False
    assert chain.matches(9, bytes(16)) is None
    with pytest.raises(RuleBroken, match=Rule.FIRST_LIST):
        chain_of(dana, start=1)
    with pytest.raises(RuleBroken, match=Rule.OTHER_ACCOUNT):
        DeviceListChain.first(dana.account, Person("Eve").aik.public, dana.lists)
    for wrong in ([], dana.lists[:1] * (LISTS_PER_CHAIN + 1)):
        with pytest.raises(FormatError):
            DeviceListChain.first(dana.account, dana.aik.public, wrong)


def test_every_changed_byte_is_refused_and_nobody_is_called_a_liar_for_it(dana: Person) -> None:
    chain = DeviceListChain(tuple(dana.lists[:-1]))
    encoded = dana.head.encoded
    for at in range(len(encoded)):
        changed = bytearray(encoded)
        changed[at] ^= 1 << (at % 8)
        try:
            candidate = SignedDeviceList.parse(bytes(changed))
            assert chain.judge(candidate) in {Standing.GAP, Standing.OLDER}, f"byte {at}"
        except RemoteError:
            continue
        with pytest.raises(RemoteError):
            chain.extended(candidate)
    chain.extended(dana.head)


def test_truncated_and_extended_lists_are_refused(dana: Person) -> None:
    encoded = dana.head.encoded
    for wrong in (*(encoded[:size] for size in range(0, len(encoded), 7)), encoded + b"\x00"):
        with pytest.raises(FormatError):
            SignedDeviceList.parse(wrong)


def test_eight_devices_are_the_most() -> None:
    person = Person("eight")
    for _ in range(7):
        person.add_device()
    assert len(chain_of(person).head.content.devices) == 8
    with pytest.raises(LocalError):
        person.next_list(add=(person.new_device(),), by=person.devices[0])
    with pytest.raises(LocalError):
        replace(person.head.content, devices=()).encode()
    content = person.head.encoded
    at = content.index(b"\x00\x08", 90)
    for count in (b"\x00\x00", b"\x00\x09"):
        with pytest.raises(FormatError):
            SignedDeviceList.parse(content[:at] + count + content[at + 2 :])


def test_256_revocations_are_the_most() -> None:
    person = Person("revoker")
    many = tuple(DeviceId(person.draw(16)) for _ in range(REVOKED_PER_LIST))
    full = person.next_list(revoked=many)
    check_successor(person.head, SignedDeviceList.parse(full.encoded))
    with pytest.raises(LocalError):
        person.next_list(revoked=(*many, DeviceId(person.draw(16))))


def test_the_last_device_cannot_remove_itself(dana: Person) -> None:
    alone = Person("alone")
    with pytest.raises(LocalError):
        alone.next_list(remove=(alone.devices[0],), by=alone.devices[0])
    leaving = dana.devices[2]
    check_successor(dana.head, dana.next_list(remove=(leaving,), by=leaving))


def test_versions_are_numbers_of_32_bits(dana: Person) -> None:
    far = dana.next_list(version=2**32 - 1)
    check_successor(dana.head, far)
    for version in (0, 2**32):
        with pytest.raises(LocalError):
            dana.next_list(version=version)


def test_only_the_identity_key_heals_a_fork(dana: Person) -> None:
    chain = chain_of(dana)
    fork = replace(dana.lists[2].content, version=4, prev_hash=dana.lists[2].hash, signer=dana.devices[0].device)
    rival = fork.sign(dana.devices[0].key)
    assert chain.judge(rival) is Standing.EQUIVOCATION
    assert chain.judge(dana.head) is Standing.KNOWN
    with pytest.raises(RemoteError, match="invalid_signature"):
        chain.judge(fork.sign(dana.devices[2].key))
    after_rival = replace(fork, version=5, prev_hash=rival.hash).sign(dana.devices[0].key)
    with pytest.raises(RuleBroken, match=Rule.NOT_LINKED):
        chain.judge(after_rival)
    healed = dana.next_list(version=6)
    assert chain.judge(healed) is Standing.SUCCESSOR
    assert chain.extended(healed).head is healed
    assert chain.extended(healed).judge(after_rival) is Standing.OLDER


def test_rivals_must_be_of_the_same_account_and_known_descent(dana: Person) -> None:
    chain = chain_of(dana)
    other = Person("other")
    with pytest.raises(RuleBroken, match=Rule.OTHER_ACCOUNT):
        chain.judge(other.head)
    unlinked = replace(dana.head.content, prev_hash=bytes(32)).sign(dana.devices[0].key)
    with pytest.raises(RuleBroken, match=Rule.NOT_LINKED):
        chain.judge(unlinked)
    stranger = replace(dana.head.content, signer=DeviceId(b"s" * 16)).sign(dana.devices[0].key)
    with pytest.raises(RuleBroken, match=Rule.SIGNER_UNKNOWN):
        chain.judge(stranger)
    by_aik = replace(dana.head.content, signer=IDENTITY_KEY, issued_ms=1).sign(dana.aik)
    assert chain.judge(by_aik) is Standing.EQUIVOCATION


def test_no_device_is_called_like_the_identity_key(dana: Person) -> None:
    named = replace(dana.devices[0].entry, device=IDENTITY_KEY)
    with pytest.raises(RuleBroken, match=Rule.DUPLICATE):
        check_first(dana.next_list(devices=(named,)))


def test_an_aik_is_no_device_key(dana: Person) -> None:
    entry = replace(dana.devices[0].entry, dsig=dana.aik.public)
    with pytest.raises(RuleBroken, match=Rule.DUPLICATE):
        check_first(dana.next_list(devices=(entry,)))


def test_unknown_capabilities_are_of_another_version(dana: Person) -> None:
    entry = bytearray(dana.devices[0].entry.encode())
    entry[89] = 1
    with pytest.raises(FormatError, match="unsupported"):
        type(dana.devices[0].entry).parse(Reader(bytes(entry), "entry"))


@given(st.lists(st.sampled_from(["add", "remove", "recover", "leave"]), max_size=8))
def test_whatever_an_account_does_its_contacts_can_follow(steps: list[str]) -> None:
    person = Person("history")
    contact = chain_of(person)
    for step in steps:
        listed = [device for device in person.devices if person.head.content.entry(device.device)]
        first, last = listed[0], listed[-1]
        if step == "add" and len(listed) < 8:
            person.devices.append(person.new_device())
            made = person.next_list(add=(person.devices[-1],), by=last)
        elif step == "remove" and len(listed) > 1:
            made = person.next_list(remove=(last,), by=first)
        elif step == "leave" and len(listed) > 1:
            made = person.next_list(remove=(first,), by=first)
        elif step == "recover":
            person.devices.append(person.new_device())
            made = person.next_list(
                add=(person.devices[-1],), remove=tuple(listed), version=person.head.version + 3, prev_hash=bytes(32)
            )
        else:
            continue
        person.lists.append(made)
        contact = contact.extended(SignedDeviceList.parse(made.encoded))
    newcomer = chain_of(person)
    assert newcomer.head.hash == contact.head.hash
    assert all(contact.judge(held) is Standing.KNOWN for held in person.lists)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_list_or_refused(source: bytes) -> None:
    with pytest.raises(FormatError):
        SignedDeviceList.parse(source)
