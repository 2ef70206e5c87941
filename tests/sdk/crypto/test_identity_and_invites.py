"""A device's own keys, prekeys, invite cards and links."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.identity import (
    DeviceSecrets,
    first_list,
    new_account,
    new_last_resort,
    new_one_time,
    new_signed_prekey,
    next_list,
)
from rapport.crypto.invites import (
    CARD_BYTES,
    Card,
    InviteLink,
    InviteSecret,
    OwnerLink,
    open_card,
    parse_link,
    seal_card,
)
from rapport.crypto.padding import pad
from rapport.crypto.primitives import seal
from rapport_protocol.device_lists import DeviceListChain, check_first, check_successor
from rapport_protocol.errors import FormatError, LocalError, RemoteError
from rapport_protocol.ids import ConversationId
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.signed import card_aad
from tests.sdk.crypto.pair import NOW, chance, flips

DRAW = chance("identity")
ACCOUNT, AIK = new_account(DRAW)


def new_device() -> DeviceSecrets:
    return DeviceSecrets.make(ACCOUNT, AIK.public, DRAW, NOW)


def test_a_new_account_publishes_its_first_list_and_grows() -> None:
    first, second = new_device(), new_device()
    one = first_list(first, AIK, NOW)
    check_first(one)
    two = next_list(one, (second.entry(),), (), (first.device, first.signing_key()), NOW)
    three = next_list(two, (), (first.device,), (second.device, second.signing_key()), NOW)
    check_successor(one, two)
    check_successor(two, three)
    chain = DeviceListChain.first(ACCOUNT, AIK.public, [one, two, three])
    assert [entry.device for entry in chain.head.content.devices] == [second.device]
    assert chain.head.content.revoked == (first.device,)


def test_prekeys_are_signed_by_their_device_and_numbered() -> None:
    device = new_device()
    entry = device.entry()
    entry.check(ACCOUNT, AIK.public)
    prekeys: list[tuple[Any, Any]] = [
        new_signed_prekey(device, DRAW, 4, NOW),
        new_last_resort(device, DRAW, 5, NOW),
        *new_one_time(device, DRAW, 6, 3, NOW),
    ]
    for at, (secret, public) in enumerate(prekeys, start=4):
        assert secret.id == public.id == at
        assert repr(secret).endswith("Secret()")
        public.check(ACCOUNT, device.device, entry.dsig)
        with pytest.raises(RemoteError, match="invalid_signature"):
            public.check(ACCOUNT, device.device, new_device().entry().dsig)
        with pytest.raises(RemoteError, match="invalid_signature"):
            public.check(ACCOUNT, new_device().device, entry.dsig)


# --- cards and links --------------------------------------------------------------------------------------------------

SECRET = InviteSecret.make(DRAW)
CARD = Card(
    name="Dana",
    account=ACCOUNT,
    aik=AIK.public,
    version=3,
    dlh=DRAW(32),
    server_id=DRAW(32),
    conv=ConversationId(DRAW(16)),
    genesis=DRAW(32),
    role=MemberRole.CLIENT,
    welcome="Schön, dass Sie da sind.",
)


def test_a_card_opens_under_its_link_only() -> None:
    sealed = seal_card(SECRET, CARD, DRAW)
    assert open_card(SECRET, sealed) == CARD
    assert len(seal_card(SECRET, replace(CARD, welcome="x" * 15_900), DRAW)) == CARD_BYTES
    with pytest.raises(LocalError, match="too_large"):
        seal_card(SECRET, replace(CARD, welcome="x" * 16_400), DRAW)
    with pytest.raises(AuthenticationFailed):
        open_card(InviteSecret.make(DRAW), sealed)
    for at, changed in flips(sealed):
        with pytest.raises(AuthenticationFailed):
            open_card(SECRET, changed)
            pytest.fail(f"byte {at}")
    for size in (0, 24, 39, len(sealed) - 1):
        with pytest.raises(AuthenticationFailed):
            open_card(SECRET, sealed[:size])


@pytest.mark.parametrize(
    "inside", [b"\x80", b"\x90", b"\xc1", b"\x91" * 9000, b""], ids=["{}", "[]", "bad", "deep", "empty"]
)
def test_what_is_sealed_but_no_card_is_refused(inside: bytes) -> None:
    nonce = DRAW(24)
    with pytest.raises(FormatError):
        open_card(SECRET, nonce + seal(SECRET.card_key(), nonce, pad(inside), card_aad(SECRET.id)))


def test_the_secrets_of_an_invite_are_independent() -> None:
    key = SECRET.signing_key()
    assert len({SECRET.token, key.seed, key.public, SECRET.card_key(), SECRET.id}) == 5
    assert repr(InviteLink("https://x", SECRET)) == "InviteLink(base='https://x', secret=InviteSecret())"
    assert repr(OwnerLink("https://x", bytes(32), bytes(32))) == "OwnerLink()"


@pytest.mark.parametrize(
    "base", ["https://rapport.example", "http://127.0.0.1:8080", "https://host/i/path", "https://h/o"]
)
def test_links_come_back(base: str) -> None:
    link = InviteLink(base, SECRET)
    assert parse_link(link.encode()) == link
    assert parse_link(f"  {link.encode()}\n") == link
    owner = OwnerLink(base, DRAW(32), DRAW(32))
    assert parse_link(owner.encode()) == owner
    assert SECRET.token.hex() not in link.encode().partition("#")[0]


def test_every_changed_character_of_a_links_halves_is_refused() -> None:
    text = InviteLink("https://rapport.example", SECRET).encode()
    start = text.index("/i/") + 3
    for at in range(start, len(text)):
        other = "A" if text[at] != "A" else "B"
        with pytest.raises(FormatError):
            parse_link(text[:at] + other + text[at + 1 :])
        with pytest.raises(FormatError):
            parse_link(text[:at])


@given(st.text(max_size=60))
def test_any_text_is_no_link(text: str) -> None:
    for address in (text, f"https://{text}", f"https://x/i/{text}#{text}", f"https://x/o#{text}"):
        with pytest.raises(FormatError):
            parse_link(address)
