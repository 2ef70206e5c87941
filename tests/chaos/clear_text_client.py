"""A client that forgets to encrypt: it posts its text as it is, so that a search for planted texts has one to find."""

from __future__ import annotations

import asyncio
import os
import time

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.practice import BenchAccount, BenchInvite, BenchPractice, sign_in
from rapport.bench.wire import client_frame
from rapport.crypto.invites import InviteLink, parse_link
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import MessageId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.membership_entries import SignedEntry
from rapport_protocol.messages import Accepted, Post, ServerMessage
from rapport_protocol.requests import InviteView
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

__all__ = ["post_in_the_clear"]


async def post_in_the_clear(link: str, text: str) -> None:
    """Joins by an invite link and posts the text unsealed; returns when the server has accepted it."""
    parsed = parse_link(link)
    assert isinstance(parsed, InviteLink)
    address = ServerAddress.parse(link)
    api = HttpApi(address)
    try:
        view = await api.call("invite.view", path={"invite": parsed.secret.id})
        assert isinstance(view, InviteView)
        head = SignedEntry.parse(view.chain[-1])
        sender = await BenchPractice(address.origin, api).join(BenchInvite(parsed.secret, view.conv, head))
    finally:
        await api.close()
    await asyncio.to_thread(_post, address.origin, sender, view, text)


def _post(origin: str, sender: BenchAccount, view: InviteView, text: str) -> None:
    host = SignedDeviceList.parse(view.lists[0].lists[-1]).content.devices[0].device
    device = sender.devices[0]
    outer = Outer(
        view.conv,
        3,
        sender.account,
        device.device,
        MessageId(os.urandom(16)),
        time.time_ns() // 1_000_000,
        MessageClass.POST,
        MessageFlags(0),
        0,
        os.urandom(32),
    )
    content = text.encode().ljust(272, b".")
    post = Post(outer.encode(), os.urandom(24), content, host, b"\x01" + os.urandom(194))
    codec = CLIENT_CODECS[SUBPROTOCOL_MSGPACK]
    peer, _ = sign_in(origin, device)
    with peer.socket:
        peer.socket.sendall(client_frame(codec.encode(post)))
        said: ServerMessage | None = None
        while not isinstance(said, Accepted):
            said = codec.decode(peer.next_payload())
