"""The contract reads, makes and judges what the vectors say; and the vectors are what their script makes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from rapport.crypto.primitives import kem_encapsulate
from rapport_protocol.device_lists import (
    DeviceEntry,
    DeviceListChain,
    SignedDeviceList,
    check_first,
    check_successor,
)
from rapport_protocol.ids import AccountId, StoreEpoch
from rapport_protocol.membership import MembershipState, advance, begin, fold
from rapport_protocol.membership_entries import SignedEntry
from rapport_protocol.prekeys import LastResortKey, OneTimeBundle, PrekeyBundle, SignedPrekey
from rapport_protocol.signed import (
    LABELS,
    AuthTranscript,
    Reader,
    SigningKey,
    h256,
    http_token_hash,
    invite_id,
    key_commitment,
    label,
    owner_token_hash,
    self_conversation,
    session_id,
    sign_auth_ok,
    verify,
    verify_auth_ok,
)
from tests.house.tree import PACKAGES
from tests.vector_files import FOLDER, Case, case_name, cases, plain, raw, verdict


def test_the_files_are_what_the_script_makes() -> None:
    path = os.pathsep.join(str(folder.parent) for folder in PACKAGES.values())
    command = [sys.executable, str(FOLDER / "mint.py"), "--check"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stale: none\n", "")


def test_labels() -> None:
    assert {case["name"]: (case["use"], case["bytes"]) for case in cases("labels")} == {
        name: (use, label(name).hex()) for name, use in LABELS.items()
    }


@pytest.mark.parametrize("case", cases("hashes"), ids=case_name)
def test_hashes(case: Case) -> None:
    derived: dict[str, Callable[[bytes], bytes]] = {
        "invite_id": invite_id,
        "self_conversation": lambda account: self_conversation(AccountId(account)),
        "session_id": session_id,
        "owner_token": owner_token_hash,
        "http_token": http_token_hash,
        "commitment": key_commitment,
    }
    if case["kind"] == "h256":
        assert h256(case["label"], *raw(case, "content")).hex() == case["output"]
    else:
        assert derived[case["kind"]](*raw(case, "input")).hex() == case["output"]


@pytest.mark.parametrize("case", cases("signatures", "labelled") + cases("weak_keys", "ed25519"), ids=case_name)
def test_signatures(case: Case) -> None:
    public, content, signature = raw(case, "public", "content", "signature")
    assert verdict(lambda: verify(public, case["label"], content, signature)) == case["verdict"]
    if "seed" in case:
        assert SigningKey(*raw(case, "seed")).sign(case["label"], content) == signature


# --- device lists and prekeys -----------------------------------------------------------------------------------------


def parsed(encoded: str) -> SignedDeviceList:
    return SignedDeviceList.parse(bytes.fromhex(encoded))


@pytest.mark.parametrize("case", cases("device_lists", "list"), ids=case_name)
def test_device_list_layout(case: Case) -> None:
    held = parsed(case["encoded"])
    assert plain(held.content) == case["fields"]
    assert held.hash.hex() == case["hash"]
    assert held.content.sign(SigningKey(*raw(case, "signer_seed"))).encoded.hex() == case["encoded"]


@pytest.mark.parametrize("case", cases("device_lists", "successor", "first", "judge"), ids=case_name)
def test_device_list_rules(case: Case) -> None:
    if case["kind"] == "first":
        assert verdict(lambda: check_first(parsed(case["candidate"]))) == case["verdict"]
    elif case["kind"] == "successor":
        assert verdict(lambda: check_successor(parsed(case["head"]), parsed(case["candidate"]))) == case["verdict"]
    else:
        lists = [parsed(encoded) for encoded in case["chain"]]
        content = lists[0].content
        chain = DeviceListChain.first(content.account, content.aik, lists)
        judged = partial(chain.judge, parsed(case["candidate"]))
        found = verdict(judged)
        assert case["verdict"] == (judged().value if found == "ok" else found)


@pytest.mark.parametrize("case", cases("prekeys", "spk", "otk", "pqlr"), ids=case_name)
def test_prekey_layouts(case: Case) -> None:
    kinds: dict[str, type[SignedPrekey | OneTimeBundle | LastResortKey]] = {
        "spk": SignedPrekey,
        "otk": OneTimeBundle,
        "pqlr": LastResortKey,
    }
    account, device, dsig, encoded = raw(case, "account", "device", "dsig", "encoded")
    prekey = kinds[case["kind"]].parse(encoded)
    assert plain(prekey) == case["fields"]
    assert prekey.encode() == encoded
    prekey.check(AccountId(account), DeviceEntry.parse(Reader(entry_of(case), "entry")).device, dsig)
    assert device == DeviceEntry.parse(Reader(entry_of(case), "entry")).device


def entry_of(case: Case) -> bytes:
    return next(raw(other, "device_entry")[0] for other in cases("prekeys", "bundle"))


@pytest.mark.parametrize("case", cases("prekeys", "bundle"), ids=case_name)
def test_bundles(case: Case) -> None:
    account, entry, encoded = raw(case, "account", "device_entry", "encoded")
    listed = DeviceEntry.parse(Reader(entry, "entry"))

    def used() -> None:
        bundle = PrekeyBundle.parse(encoded)
        bundle.check(AccountId(account), listed)
        kem_encapsulate(bundle.key.kem)

    assert verdict(used) == case["verdict"]


# --- membership -------------------------------------------------------------------------------------------------------


@functools.cache
def every_list() -> dict[tuple[AccountId, int], SignedDeviceList]:
    (every,) = cases("membership", "lists")
    held = [parsed(encoded) for encoded in every["lists"]]
    return {(one.content.account, one.version): one for one in held}


def lookup(account: AccountId, version: int) -> SignedDeviceList | None:
    return every_list().get((account, version))


def test_membership_chains() -> None:
    state: MembershipState | None = None
    for case in cases("membership", "entry"):
        entry = SignedEntry.parse(*raw(case, "encoded"))
        assert plain(entry.fields) == case["fields"]
        assert entry.fields.action.encode().hex() == case["args"]
        assert (entry.signed_bytes.hex(), entry.hash.hex()) == (case["signed_bytes"], case["hash"])
        state = begin(entry, lookup) if case["op"] == 1 or state is None else advance(state, entry, lookup)
        members = [plain(member) for member in state.members]
        invites = [
            {key: plain(getattr(held, key)) for key in ("invite", "ipk", "role", "expires_ms")}
            for held in state.invites
        ]
        floors = sorted([floor.account.hex(), floor.version] for floor in state.floors)
        assert case["state"] == {
            "epoch": state.epoch,
            "head": state.head.hex(),
            "members": members,
            "invites": invites,
            "floors": floors,
        }


@pytest.mark.parametrize("case", cases("membership", "refused"), ids=case_name)
def test_membership_refusals(case: Case) -> None:
    chain = [SignedEntry.parse(bytes.fromhex(encoded)) for encoded in case["chain"]]
    before = fold(chain, lookup) if chain else None

    def judged() -> MembershipState:
        entry = SignedEntry.parse(*raw(case, "entry"))
        return advance(before, entry, lookup) if before else begin(entry, lookup)

    assert verdict(judged) == case["verdict"]


# --- signing in -------------------------------------------------------------------------------------------------------


def test_sign_in() -> None:
    case = cases("sign_in")[0]
    signed, signature, epoch, answer = raw(case, "signed_bytes", "signature", "store_epoch", "answer")
    device, server = (SigningKey(seed) for seed in raw(case, "dsig_seed", "server_seed"))
    transcript = AuthTranscript.parse(signed)
    assert plain(transcript) == case["fields"]
    assert (transcript.encode(), transcript.sign(device)) == (signed, signature)
    assert h256("auth-transcript", signed + signature).hex() == case["transcript_hash"]
    assert sign_auth_ok(server, transcript, signature, StoreEpoch(epoch)) == answer
    verify_auth_ok(server.public, transcript, signature, StoreEpoch(epoch), answer)
    assert signed + signature == raw(case, "last_auth")[0]


@pytest.mark.parametrize("case", cases("sign_in")[1:], ids=case_name)
def test_sign_in_refusals(case: Case) -> None:
    (signed,) = raw(case, "signed_bytes")
    if "signature" in case:
        dsig, signature = raw(case, "dsig", "signature")
        assert verdict(lambda: verify(dsig, "auth", signed, signature)) == case["verdict"]
    else:
        assert verdict(lambda: AuthTranscript.parse(signed)) == case["verdict"]
