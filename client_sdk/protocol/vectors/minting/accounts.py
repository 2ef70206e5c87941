"""Chapters 2 and 3: device lists, prekeys, invites."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from minting.base import NOT_UTF8, T0, Stream, case, flipped, plain, refused, verdict
from minting.cast import ANN, BEN, DANA
from minting.membership import Chain
from rapport.crypto.identity import new_last_resort, new_one_time, new_signed_prekey, next_list
from rapport.crypto.invites import Card, InviteLink, InviteSecret, OwnerLink, open_card, parse_link, seal_card
from rapport.crypto.padding import pad
from rapport.crypto.primitives import kem_encapsulate, seal
from rapport.crypto.safety_number import numeric_fingerprint, safety_number, shown_in_groups
from rapport_protocol.device_lists import (
    IDENTITY_KEY,
    DeviceEntry,
    DeviceList,
    DeviceListChain,
    SignedDeviceList,
    check_first,
    check_successor,
)
from rapport_protocol.membership_entries import ConversationKind, MemberRole
from rapport_protocol.prekeys import OneTimeBundle, PrekeyBundle, SignedPrekey
from rapport_protocol.signed import SigningKey, card_aad

__all__ = ["device_lists", "invites", "prekeys", "safety_numbers"]


# --- device lists -----------------------------------------------------------------------------------------------------


def device_lists() -> list[dict[str, Any]]:
    """Dana's four lists, then candidates after each of them that are taken or refused."""
    chain = DeviceListChain.first(DANA.account, DANA.aik.public, DANA.lists)
    signers: list[SigningKey] = [DANA.aik, *(DANA.devices[n].signing_key() for n in (0, 1, 0))]
    cases = [
        case(
            f"list {held.version}",
            kind="list",
            fields=held.content,
            signer_seed=signer.seed,
            encoded=held.encoded,
            hash=held.hash,
        )
        for held, signer in zip(chain.lists, signers, strict=True)
    ]
    heads = {held.version: held for held in chain.lists}
    for name, version, made, expected in _successors(heads):
        head = heads[version]
        found = refused(expected, partial(check_successor, head, SignedDeviceList.parse(made)))
        cases.append(case(name, kind="successor", head=head.encoded, candidate=made, verdict=found))
    for name, made, expected in _first_lists():
        found = refused(expected, partial(check_first, SignedDeviceList.parse(made)))
        cases.append(case(name, kind="first", candidate=made, verdict=found))
    return cases + _judged(chain) + _malformed(BEN.lists[0].encoded)


def _judged(chain: DeviceListChain) -> list[dict[str, Any]]:
    """Lists that a contact meets who holds Dana's four lists, or some of them."""
    second, third, head = chain.lists[1:]
    fresh, by = DANA.devices[3].entry(), DANA.signer(0)
    rival = next_list(second, (fresh,), (), by, T0 + 77)
    aik_rival = next_list(third, (), (), (IDENTITY_KEY, DANA.aik), T0 + 78)
    newer = next_list(head, (fresh,), (), by, T0 + 100)
    healed = SignedDeviceList.parse(_changed(head, DANA.aik, version=7, signer=IDENTITY_KEY))
    after_rival = next_list(rival, (), (), by, T0 + 79)
    forged = _changed(rival, DANA.devices[2].signing_key())
    stranger = _changed(rival, DANA.devices[3].signing_key(), signer=fresh.device)
    foreign = _changed(head, BEN.aik, aik=BEN.aik.public, version=9)
    made = [
        ("the head again", chain.lists, head.encoded, "known"),
        ("an older list", chain.lists, second.encoded, "known"),
        ("the next list", chain.lists, newer.encoded, "successor"),
        ("two lists ahead", chain.lists[:2], head.encoded, "gap"),
        ("a list that was skipped", (*chain.lists, healed), _changed(newer, by[1]), "older"),
        ("a second list 3", chain.lists, rival.encoded, "equivocation"),
        ("a second list 4, by AIK", chain.lists, aik_rival.encoded, "equivocation"),
        ("a second list 3 with a forged signature", chain.lists, forged, "invalid_signature"),
        ("a second list 3 by a stranger", chain.lists, stranger, "signer_unknown"),
        ("the list after the second list 3", chain.lists, after_rival.encoded, "not_linked"),
        ("another identity key, versions ahead", chain.lists, foreign, "other_account"),
        ("an older list of another account", chain.lists, BEN.lists[0].encoded, "other_account"),
    ]
    cases = []
    for name, held, candidate, expected in made:
        known = DeviceListChain.first(DANA.account, DANA.aik.public, held)
        found = partial(known.judge, SignedDeviceList.parse(candidate))
        standing = verdict(found)
        if standing == "ok":
            standing = found().value
        if standing != expected:
            raise AssertionError(f"{name}: {standing}")
        encoded = [one.encoded for one in held]
        cases.append(case(name, kind="judge", chain=encoded, candidate=candidate, verdict=expected))
    return cases


def _malformed(one: bytes) -> list[dict[str, Any]]:
    """Lists that cannot be read. In a list of one device n stands at byte 96, caps at 186, m at 252."""
    made = [
        ("no device", one[:96] + b"\x00\x00" + one[252:], "bad_format"),
        ("nine devices", one[:96] + b"\x00\x09" + one[98:252] * 9 + one[252:], "bad_format"),
        ("257 revoked devices", one[:252] + b"\x01\x01" + bytes(257 * 16) + one[254:], "bad_format"),
        ("version 0", one[:48] + bytes(8) + one[56:], "bad_format"),
        ("version 2^32", one[:48] + (2**32).to_bytes(8, "big") + one[56:], "bad_format"),
        ("issued 2^53", one[:88] + (2**53).to_bytes(8, "big") + one[96:], "bad_format"),
        ("capabilities", one[:187] + b"\x01" + one[188:], "unsupported"),
        ("cut short", one[:-1], "bad_format"),
        ("with trailing bytes", one + b"\x00", "bad_format"),
        ("empty", b"", "bad_format"),
    ]
    return [
        case(name, kind="first", candidate=bytes_, verdict=refused(expected, partial(SignedDeviceList.parse, bytes_)))
        for name, bytes_, expected in made
    ]


def _changed(source: SignedDeviceList, key: SigningKey, **fields: object) -> bytes:
    """A list with other fields, signed by `key`."""
    content = msgspec.structs.replace(source.content, **fields)
    return content.sign(key).encoded


def _successors(heads: dict[int, SignedDeviceList]) -> list[tuple[str, int, bytes, str]]:
    """(name, version of the head, candidate, verdict)."""
    third, fourth = heads[3], heads[4]
    fresh, signer = DANA.devices[3].entry(), DANA.signer(0)
    good = next_list(fourth, (fresh,), (), signer, T0 + 100)
    by_aik = next_list(fourth, (fresh,), (), (IDENTITY_KEY, DANA.aik), T0 + 100)
    key, revoked = signer[1], DANA.devices[1].device
    devices = good.content.devices
    own = DANA.devices[3].signing_key()
    make = partial(DeviceEntry.make, DANA.account, DANA.aik.public, created_ms=T0)
    same_dsig = make(fresh.device, DANA.devices[2].signing_key(), fresh.dik)
    same_dik = make(fresh.device, own, devices[0].dik)
    aik_as_dsig, nameless = make(fresh.device, DANA.aik, fresh.dik), make(IDENTITY_KEY, own, fresh.dik)
    other_dik = make(devices[1].device, DANA.devices[2].signing_key(), fresh.dik)
    foreign = msgspec.structs.replace(devices[2], selfsig=devices[0].selfsig)
    weak = DeviceEntry.make(DANA.account, DANA.aik.public, fresh.device, DANA.devices[3].signing_key(), bytes(32), T0)
    skipping = partial(_changed, by_aik, DANA.aik, version=9, prev_hash=b"\x07" * 32)
    return [
        ("device-signed successor", 4, good.encoded, "ok"),
        ("AIK-signed successor", 4, by_aik.encoded, "ok"),
        ("AIK-signed, versions skipped, not linked", 4, skipping(), "ok"),
        ("AIK-signed, a device left out", 4, skipping(devices=devices[1:]), "ok"),
        ("AIK-signed, a revocation taken back", 4, skipping(revoked=()), "unrevoked"),
        ("same version again", 4, heads[4].encoded, "version_taken"),
        ("lower version", 4, heads[2].encoded, "version_taken"),
        ("device-signed, a version skipped", 4, _changed(good, key, version=6), "not_linked"),
        ("device-signed, another predecessor", 4, _changed(good, key, prev_hash=third.hash), "not_linked"),
        ("signed by a revoked device", 4, _changed(good, DANA.signer(1)[1], signer=revoked), "signer_unknown"),
        ("signed by the added device", 4, _changed(good, DANA.signer(3)[1], signer=fresh.device), "signer_unknown"),
        ("signed with another device's key", 4, _changed(good, DANA.signer(2)[1]), "invalid_signature"),
        ("signature changed", 4, flipped(good.encoded, len(good.encoded) - 1), "invalid_signature"),
        ("a revocation taken back", 4, _changed(good, key, revoked=()), "unrevoked"),
        ("a device dropped", 4, _changed(good, key, devices=(devices[0], devices[2])), "device_dropped"),
        ("revoked but never listed", 4, _changed(good, key, revoked=(revoked, BEN.devices[0].device)), "never_listed"),
        ("a revoked device listed", 4, _changed(good, key, revoked=(revoked, devices[1].device)), "duplicate"),
        ("a device twice", 4, _changed(good, key, devices=(*devices, devices[0])), "duplicate"),
        ("a DSIG twice", 4, _changed(good, key, devices=(*devices[:2], same_dsig)), "duplicate"),
        ("a DIK twice", 4, _changed(good, key, devices=(*devices[:2], same_dik)), "duplicate"),
        ("the AIK as DSIG", 4, _changed(good, key, devices=(*devices[:2], aik_as_dsig)), "duplicate"),
        ("a device id of zeros", 4, _changed(good, key, devices=(*devices[:2], nameless)), "duplicate"),
        (
            "a device with another key",
            4,
            _changed(by_aik, DANA.aik, devices=(devices[0], other_dik)),
            "device_changed",
        ),
        (
            "new entry not signed by itself",
            4,
            _changed(good, key, devices=(*devices[:2], foreign)),
            "invalid_signature",
        ),
        ("new entry with a weak DIK", 4, _changed(good, key, devices=(*devices[:2], weak)), "weak_key"),
        ("another account", 4, BEN.lists[0].encoded, "other_account"),
        ("another identity key", 4, _changed(by_aik, BEN.aik, aik=BEN.aik.public), "other_account"),
    ]


def _first_lists() -> list[tuple[str, bytes, str]]:
    """(name, candidate, verdict) of lists that start a chain."""
    first = BEN.lists[0]
    by_device = _changed(first, BEN.signer(0)[1], signer=BEN.devices[0].device)
    return [
        ("list 1", first.encoded, "ok"),
        ("list 1 signed by a device", by_device, "first_list"),
        ("list 1 with a predecessor", _changed(first, BEN.aik, prev_hash=b"\x01" * 32), "first_list"),
        ("list 2 signed by a device", DANA.lists[1].encoded, "first_list"),
        ("signature changed", flipped(first.encoded, len(first.encoded) - 64), "invalid_signature"),
        ("entry's signature changed", _entry_damaged(first.content), "invalid_signature"),
    ]


def _entry_damaged(content: DeviceList) -> bytes:
    entry = msgspec.structs.replace(content.devices[0], selfsig=flipped(content.devices[0].selfsig, 5))
    return msgspec.structs.replace(content, devices=(entry,)).sign(BEN.aik).encoded


# --- prekeys ----------------------------------------------------------------------------------------------------------


def prekeys() -> list[dict[str, Any]]:
    """Signed prekey, one-time bundle, last-resort key, the two bundles, and bundles that must be refused."""
    random, device = Stream("prekeys"), BEN.devices[0]
    spk_secret, spk = new_signed_prekey(device, random, 7, T0 + 1)
    ((otk_secret, otk),) = new_one_time(device, random, 8, 1, T0 + 2)
    pqlr_secret, pqlr = new_last_resort(device, random, 9, T0 + 3)
    entry = device.entry()
    owner = {"account": BEN.account, "device": entry.device, "dsig": entry.dsig, "dsig_seed": device.dsig_seed}
    cases = [
        case("signed prekey", kind="spk", **owner, secret=spk_secret.secret, fields=spk, encoded=spk.encode()),
        case(
            "one-time bundle",
            kind="otk",
            **owner,
            secret=otk_secret.x25519,
            seed=otk_secret.seed,
            fields=otk,
            encoded=otk.encode(),
        ),
        case("last-resort key", kind="pqlr", **owner, seed=pqlr_secret.seed, fields=pqlr, encoded=pqlr.encode()),
    ]
    key = device.signing_key()
    weak_spk = SignedPrekey.make(BEN.account, entry.device, key, 7, bytes(32), T0)
    weak_otk = OneTimeBundle.make(BEN.account, entry.device, key, 8, (bytes(32), otk.kem), T0)
    bad_kem = OneTimeBundle.make(BEN.account, entry.device, key, 8, (otk.x25519, b"\xff" * 1184), T0)
    one_time, last = PrekeyBundle(entry.device, spk, otk).encode(), PrekeyBundle(entry.device, spk, pqlr).encode()
    for name, encoded, expected in (
        ("bundle with a one-time key", one_time, "ok"),
        ("bundle with the last-resort key", last, "ok"),
        ("signed prekey of small order", PrekeyBundle(entry.device, weak_spk, otk).encode(), "weak_key"),
        ("one-time X25519 key of small order", PrekeyBundle(entry.device, spk, weak_otk).encode(), "weak_key"),
        ("one-time ML-KEM key malformed", PrekeyBundle(entry.device, spk, bad_kem).encode(), "bad_format"),
        ("signed prekey changed", flipped(one_time, 30), "invalid_signature"),
        ("one-time X25519 key changed", flipped(one_time, 150), "invalid_signature"),
        ("one-time ML-KEM key changed", flipped(one_time, 900), "invalid_signature"),
        ("one-time id changed", flipped(one_time, 128), "invalid_signature"),
        ("last-resort key changed", flipped(last, 700), "invalid_signature"),
        ("another device's bundle", flipped(one_time, 0), "forbidden"),
        ("one-time bundle called last resort", flipped(one_time, 124), "bad_format"),
        ("unknown kind", flipped(one_time, 124, 1), "unsupported"),
        ("cut short", last[:-1], "bad_format"),
    ):
        found = refused(expected, partial(_use, encoded, entry))
        cases.append(
            case(name, kind="bundle", account=BEN.account, device_entry=entry.encode(), encoded=encoded, verdict=found)
        )
    return cases


def _use(encoded: bytes, entry: DeviceEntry) -> None:
    """Everything a claimer checks: the key for ML-KEM comes last, when it is used."""
    bundle = PrekeyBundle.parse(encoded)
    bundle.check(BEN.account, entry)
    kem_encapsulate(bundle.key.kem)


# --- safety numbers ---------------------------------------------------------------------------------------------------


def safety_numbers() -> list[dict[str, Any]]:
    """Signal's published example, side by side, then numbers of two accounts."""
    cases = [
        case(
            name,
            kind="fingerprint",
            version=0,
            key=bytes.fromhex(key),
            identifier=identifier,
            digits=numeric_fingerprint(0, bytes.fromhex(key), identifier),
        )
        for name, key, identifier in (
            (
                "Signal's example, Alice",
                "0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868",
                b"+14152222222",
            ),
            (
                "Signal's example, Bob",
                "05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b",
                b"+14153333333",
            ),
        )
    ]
    for name, one, other in (("Dana and Ben", DANA, BEN), ("Ben and Dana", BEN, DANA), ("Dana and Ann", DANA, ANN)):
        digits = safety_number((one.account, one.aik.public), (other.account, other.aik.public))
        cases.append(
            case(
                name,
                kind="number",
                one=one.account,
                one_aik=one.aik.public,
                other=other.account,
                other_aik=other.aik.public,
                digits=digits,
                shown=shown_in_groups(digits),
            )
        )
    return cases


# --- invites ----------------------------------------------------------------------------------------------------------


def invites() -> list[dict[str, Any]]:
    """What follows from a token, a sealed card, links; then what must not open."""
    random = Stream("invites")
    secret = InviteSecret.make(random)
    isk, pair = secret.signing_key(), Chain(ConversationKind.PAIR)
    server_id = SigningKey(random(32)).public
    card = Card(
        name="Dana",
        account=DANA.account,
        aik=DANA.aik.public,
        version=1,
        dlh=DANA.lists[0].hash,
        server_id=server_id,
        conv=pair.conv,
        genesis=pair.entries[0].hash,
        role=MemberRole.CLIENT,
        welcome="Willkommen, Ben! \u2764",
    )
    sealed = seal_card(secret, card, random)
    nonce = random.given[-1]
    link = InviteLink("https://rapport.example", secret).encode()
    owner_link = OwnerLink("https://rapport.example", random(32), server_id)
    cases = [
        case(
            "invite",
            kind="invite",
            token=secret.token,
            invite=secret.id,
            isk_seed=isk.seed,
            ipk=isk.public,
            card_key=secret.card_key(),
            link=link,
        ),
        _card("card", secret, card, nonce, sealed),
        case(
            "owner link",
            kind="owner_link",
            token=owner_link.token,
            server_id=server_id,
            link=owner_link.encode(),
        ),
    ]
    other = InviteSecret.make(random)
    for name, opener, bytes_ in (
        ("card changed", secret, flipped(sealed, 60)),
        ("card's nonce changed", secret, flipped(sealed, 3)),
        ("card cut short", secret, sealed[:-1]),
        ("under another link", other, sealed),
    ):
        found = refused("authentication", partial(open_card, opener, bytes_))
        cases.append(case(name, kind="card", token=opener.token, sealed=bytes_, verdict=found))
    cases += _whole_card(secret, card)
    cases += _no_cards(secret, msgspec.msgpack.decode(card.encode()))
    front, _, fragment = link.partition("#")
    for name, text, expected in (
        ("the link itself", link, "ok"),
        ("the owner link itself", owner_link.encode(), "ok"),
        ("another version", f"{front}#Ag{fragment[2:]}", "unsupported"),
        ("padding", link + "=", "bad_format"),
        ("cut short", link[:-2], "bad_format"),
        (
            "halves of two invites",
            f"{front}#{InviteLink('https://x.example', other).encode().partition('#')[2]}",
            "bad_format",
        ),
        ("no fragment", front, "bad_format"),
        ("under another path", link.replace("/i/", "/j/"), "bad_format"),
        ("owner link cut short", owner_link.encode()[:-4], "bad_format"),
        ("owner link under another path", owner_link.encode().replace("/o#", "/p#"), "bad_format"),
        ("not http", "ftp" + link[5:], "bad_format"),
    ):
        cases.append(case(name, kind="link", link=text, verdict=refused(expected, partial(parse_link, text))))
    return cases


def _card(name: str, secret: InviteSecret, card: Card, nonce: bytes, sealed: bytes) -> dict[str, Any]:
    return case(
        name,
        kind="card",
        token=secret.token,
        fields={key: value for key, value in plain(card).items() if value is not None},
        messagepack=card.encode(),
        nonce=nonce,
        sealed=sealed,
        verdict="ok",
    )


def _whole_card(secret: InviteSecret, card: Card) -> list[dict[str, Any]]:
    """A therapist's, with everything that a card may hold."""
    whole = msgspec.structs.replace(
        card,
        about="Psychotherapist, Canal Street Practice",
        how="I read in the morning and answer once a day.",
        limits="I cannot help at once. \u2764",
        country="GB",
        lines=(("Practice", "020 7946 0000", "until six"), ("Night line", "+44 20 7946 0001", "")),
        office=bytes(range(200)),
    )
    random = Stream("whole card")
    sealed = seal_card(secret, whole, random)
    return [_card("card with everything", secret, whole, random.given[-1], sealed)]


def _no_cards(secret: InviteSecret, good: dict[str, Any]) -> list[dict[str, Any]]:
    """Sealed under the right link, but no card inside."""
    missing = {key: value for key, value in good.items() if key != "genesis"}
    made: list[tuple[str, object]] = [
        ("card that is an array", [good]),
        ("card without genesis", missing),
        ("card with an empty name", good | {"name": ""}),
        ("card with a short key", good | {"aik": bytes(31)}),
        ("card with a text as version", good | {"version": "1"}),
        ("card with a name that is not UTF-8", good | {"name": NOT_UTF8}),
    ]
    cases = []
    for at, (name, inside) in enumerate(made):
        nonce = Stream(f"no card {at}")(24)
        sealed = nonce + seal(secret.card_key(), nonce, pad(msgspec.msgpack.encode(inside)), card_aad(secret.id))
        found = refused("bad_format", partial(open_card, secret, sealed))
        cases.append(case(name, kind="card", token=secret.token, sealed=sealed, verdict=found))
    short = refused("authentication", partial(open_card, secret, bytes(30)))
    return [
        *cases,
        case("card shorter than nonce and tag", kind="card", token=secret.token, sealed=bytes(30), verdict=short),
    ]
