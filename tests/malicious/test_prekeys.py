"""Prekeys that a device did not sign, weak ones, old ones, withheld ones, and one that is handed out twice."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport import SecurityKind, Status
from rapport.crypto.identity import DeviceSecrets, new_one_time, new_signed_prekey
from rapport_protocol.ids import DeviceId
from rapport_protocol.prekeys import SignedPrekey
from rapport_protocol.requests import Bundle, Claimed, PrekeyUpload, Register
from tests.malicious.proxy import Asked, Liar
from tests.malicious.rows import catches
from tests.malicious.stage import Person, Stage

pytestmark = pytest.mark.malicious

CLAIM_AGAIN_S = 31
"""After so long bundles are claimed again for a conversation that had none it could use."""


class OtherBundle(Liar):
    """Whoever claims a bundle of this device gets another one."""

    def __init__(self, device: DeviceId, instead: Callable[[Bundle], Bundle]) -> None:
        self.device, self.instead = device, instead

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if not isinstance(answer, Claimed):
            return answer
        return Claimed([self.instead(held) if held.device == self.device else held for held in answer.bundles])


async def newcomer(stage: Stage, dana: Person, liar: Liar) -> Person:
    """Kim joins while the server lies about Dana's prekeys, and writes; Dana is away, or she would greet Kim first."""
    return await guest(stage, dana, "Kim", "the first message", liar)


async def guest(stage: Stage, dana: Person, name: str, text: str, liar: Liar) -> Person:
    """Somebody joins and writes while Dana's program is closed, and the server lies."""
    link = await dana.client.invite()
    await dana.close()
    stage.lie(liar)
    joined = await stage.joins(name, link)
    await joined.say(text)
    return joined


async def sent(person: Person) -> None:
    """Waits until the server has what somebody said last."""
    await person.until(lambda: person.status_of(person.said[-1]) is Status.SENT)


@catches("ghost device in a bundle or a mismatch reply", "prekey substitution, one-time keys withheld, stale prekey")
@pytest.mark.victim("Kim")
async def test_prekeys_of_somebody_else_start_no_session(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    me, now = await dana.me(), stage.clock.now_ms()
    ghost = DeviceSecrets.make(me.account, me.secrets.aik, secrets.token_bytes, now)
    _, signed = new_signed_prekey(ghost, secrets.token_bytes, 1, now)
    ((_, key),) = new_one_time(ghost, secrets.token_bytes, 2, 1, now)
    liar = OtherBundle(me.device, lambda held: Bundle(held.device, signed.encode(), key.encode()))
    kim = await newcomer(stage, dana, liar)
    if stage.lying:
        await kim.noticed(SecurityKind.FORGED_PREKEYS)
        assert kim.status_of(kim.said[-1]) is Status.QUEUED
        stage.honest()
        await dana.open()
        await stage.later(CLAIM_AGAIN_S)
    else:
        await sent(kim)
        await dana.open()
    await dana.hears("the first message")
    await stage.verdict(Kim=[SecurityKind.FORGED_PREKEYS])


@catches("weak keys")
@pytest.mark.victim("Kim")
async def test_a_weak_prekey_starts_no_session_though_its_device_signed_it(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    me = await dana.me()
    weak = SignedPrekey.make(me.account, me.device, me.signing_key(), 9, bytes(32), stage.clock.now_ms()).encode()
    kim = await newcomer(stage, dana, OtherBundle(me.device, lambda held: replace(held, signed=weak)))
    if stage.lying:
        await kim.noticed(SecurityKind.FORGED_PREKEYS)
        stage.honest()
        await dana.open()
        await stage.later(CLAIM_AGAIN_S)
    else:
        await sent(kim)
        await dana.open()
    await dana.hears("the first message")
    await stage.verdict(Kim=[SecurityKind.FORGED_PREKEYS])


def registered(stage: Stage, person: Person) -> Register:
    """What somebody uploaded when they joined."""
    bodies = [asked.body for asked in stage.proxy.asked if isinstance(asked.body, Register)]
    return next(body for body in bodies if bytes(person.client.device) in body.list)


@catches("prekey substitution, one-time keys withheld, stale prekey")
@pytest.mark.victim("Kim")
async def test_one_time_keys_that_are_withheld_are_noted(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    last = registered(stage, dana).prekeys.last_resort
    liar = OtherBundle(dana.client.device, lambda held: replace(held, key=last, last_resort=True))
    kim = await newcomer(stage, dana, liar)
    await sent(kim)
    await dana.open()
    await dana.hears("the first message")
    await dana.say("came all the same")
    await kim.hears("came all the same")
    await stage.verdict(Kim=[SecurityKind.LAST_RESORT])


@catches("prekey substitution, one-time keys withheld, stale prekey")
@pytest.mark.victim("Kim")
async def test_a_signed_prekey_of_last_month_is_noted(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    old = registered(stage, dana).prekeys.signed
    await stage.later(31 * 86_400)
    uploads = [asked.body for asked in stage.proxy.asked if isinstance(asked.body, PrekeyUpload)]
    while not any(upload.signed for upload in uploads):
        await dana.turn()
        uploads = [asked.body for asked in stage.proxy.asked if isinstance(asked.body, PrekeyUpload)]
    liar = OtherBundle(dana.client.device, lambda held: replace(held, signed=old))
    kim = await newcomer(stage, dana, liar)
    await sent(kim)
    await dana.open()
    await dana.hears("the first message")
    await dana.say("an old key opens too")
    await kim.hears("an old key opens too")
    await stage.verdict(Kim=[SecurityKind.OLD_PREKEY])


class SameForAll(Liar):
    """Everybody gets the one-time bundle of this device that the first one got; the device itself gets none."""

    def __init__(self, device: DeviceId) -> None:
        self.device = device
        self.given: Bundle | None = None

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if not isinstance(answer, Claimed):
            return answer
        wanted = next((held for held in answer.bundles if held.device == self.device), None)
        self.given = self.given or wanted
        return Claimed([self.given] if wanted and self.given else [])


@catches("one one-time key for two initiators")
async def test_a_one_time_key_handed_out_twice_is_noticed_and_the_message_comes(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    liar = SameForAll(dana.client.device)
    kim = await guest(stage, dana, "Kim", "with a fresh key", liar)
    await sent(kim)
    await dana.open()
    await dana.hears("with a fresh key")
    lee = await guest(stage, dana, "Lee", "with a used key", liar)
    await sent(lee)
    await dana.open()
    if stage.lying:
        await dana.noticed(SecurityKind.PREKEY_REUSED)
        stage.honest()
        await stage.later(CLAIM_AGAIN_S)
    await dana.hears("with a used key")
    await stage.verdict(Dana=[SecurityKind.PREKEY_REUSED])
