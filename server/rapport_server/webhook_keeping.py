"""What the commands `rapport webhooks` and `rapport notifications` do to the store.

Source: docs/operate.md, "Pushes and webhooks".
"""

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from rapport_protocol.ids import ID_BYTES, PracticeId
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.app import open_store
from rapport_server.config import Config, ConfigurationProblem, networks_of
from rapport_server.notification_keys import NotificationKeys, read_keys
from rapport_server.notifications import NotReached, WebhookRecord, WebhookTarget
from rapport_server.ports import Store
from rapport_server.sealing import SealedColumns, Unreadable
from rapport_server.services.webhooks import body_of, post_to

__all__ = ["Kept", "add", "listed", "remove", "reseal", "tried"]

_SECRET_BYTES = 32
"""Standard Webhooks: 24 to 64."""


class Kept(Struct, frozen=True):
    """One webhook as the commands show it. id, practice: hexadecimal. secret: only when it is new."""

    id: str
    practice: str
    url: str
    secret: str = ""


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[tuple[Store, SealedColumns]]:
    """The store and what opens its sealed columns. Raises ConfigurationProblem without keys, StoreProblem."""
    keys = _required_keys(config)
    store = open_store(config, SystemClock())
    await store.start()
    try:
        yield store, SealedColumns(keys.columns)
    finally:
        await store.close()


def _required_keys(config: Config) -> NotificationKeys:
    keys = read_keys(config)
    if keys is None:
        raise ConfigurationProblem(
            "webhooks need notifications.key and notifications.vapid_key: `rapport notifications new-keys` prints some"
        )
    return keys


async def add(config: Config, url: str, practice: str | None) -> Kept:
    """A new webhook with a fresh secret. Raises ConfigurationProblem for a URL that the server never goes to."""
    problem = GuardedOutgoing(networks_of(config.webhooks)).refusal(url)
    if problem is not None:
        raise ConfigurationProblem(f"the server does not go there ({problem}); see webhooks.allow_networks")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    async with _opened(config) as (store, columns):
        where, name = await _practice(store, practice), secrets.token_bytes(ID_BYTES)
        sealed = columns.seal("webhook", where, name, msgspec.msgpack.encode(WebhookTarget(url, secret)))
        await store.add_webhook(WebhookRecord(where, name, sealed, SystemClock().now_ms()))
    return Kept(name.hex(), where.hex(), url, secret)


async def _practice(store: Store, text: str | None) -> PracticeId:
    """The named practice, or the only one. Raises ConfigurationProblem."""
    practices = await store.practices()
    if text is None:
        if len(practices) != 1:
            raise ConfigurationProblem(f"the store has {len(practices)} practices: name one with --practice")
        return practices[0]
    found = next((practice for practice in practices if practice.hex() == text.lower()), None)
    if found is None:
        raise ConfigurationProblem("there is no such practice")
    return found


async def listed(config: Config) -> list[Kept]:
    """All webhooks, without their secrets."""
    async with _opened(config) as (store, columns):
        return [_shown(columns, webhook) for webhook in await store.webhooks(None)]


def _shown(columns: SealedColumns, webhook: WebhookRecord) -> Kept:
    target = _target(columns, webhook)
    url = "(sealed under another key)" if target is None else target.url
    return Kept(webhook.id.hex(), webhook.practice.hex(), url)


def _target(columns: SealedColumns, webhook: WebhookRecord) -> WebhookTarget | None:
    try:
        opened = columns.open("webhook", webhook.practice, webhook.id, webhook.sealed)
        return msgspec.msgpack.decode(opened, type=WebhookTarget)
    except (Unreadable, msgspec.DecodeError):
        return None


async def remove(config: Config, name: str) -> None:
    """Ends a webhook. Raises ConfigurationProblem when there is none of that id."""
    async with _opened(config) as (store, _):
        webhook = await _named(store, name)
        await store.remove_webhook(webhook.practice, webhook.id)


async def _named(store: Store, name: str) -> WebhookRecord:
    found = next((webhook for webhook in await store.webhooks(None) if webhook.id.hex() == name.lower()), None)
    if found is None:
        raise ConfigurationProblem("there is no such webhook; `rapport webhooks list` shows all")
    return found


async def tried(config: Config, name: str) -> tuple[bool, str]:
    """Sends the event `webhook.test` once. Whether it was taken, and a sentence about it."""
    async with _opened(config) as (store, columns):
        webhook = await _named(store, name)
    target, now_ms = _target(columns, webhook), SystemClock().now_ms()
    if target is None:
        return False, "its address is sealed under another key"
    body = body_of("webhook.test", now_ms, webhook.practice, {})
    async with GuardedOutgoing(networks_of(config.webhooks)) as outgoing:
        try:
            answer = await post_to(outgoing, target, secrets.token_bytes(ID_BYTES), body, now_ms)
        except NotReached as failed:
            return False, f"not reached: {failed}"
    return 200 <= answer.status < 300, f"answered with status {answer.status}"


async def reseal(config: Config) -> tuple[int, int]:
    """Seals everything under the newest key. Returns how many values were changed, and how many no key opens."""
    changed = unreadable = 0
    async with _opened(config) as (store, columns):
        for kind, practice, name, sealed in await store.sealed_columns():
            if columns.is_newest(sealed):
                continue
            try:
                value = columns.open(kind, practice, name, sealed)
            except Unreadable:
                unreadable += 1
                continue
            anew = columns.seal(kind, practice, name, value)
            changed += await store.reseal(kind, practice, name, sealed, anew)
    return changed, unreadable
