"""What a push service and a browser get: RFC 8291 by its own example, one size, one signature."""

import os
from typing import Final

import pytest
from cryptography.exceptions import InvalidTag

from rapport_server.adapters.web_push import content_of, encrypted, host_is_allowed, private_key_of
from rapport_server.notifications import Endpoint, PushClass
from tests.server.push_browser import Browser, unpadded

RFC_8291: Final = {
    "plaintext": b"When I grow up, I want to be a watermelon",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    "receiver": "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
    "sender": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "salt": "DGv6ra1nlYgDCS1FRnbzlw",
    "body": (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w"
        "EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    ),
}
"""Appendix A."""


def test_the_example_of_rfc_8291() -> None:
    given = {name: unpadded(text) for name, text in RFC_8291.items() if isinstance(text, str)}
    browser = Browser(private_key_of(given["receiver"]), given["auth"])
    endpoint = Endpoint("https://push.example/", browser.p256dh, browser.auth)
    body = encrypted(RFC_8291["plaintext"], endpoint, private_key_of(given["sender"]), given["salt"])  # type: ignore[arg-type]
    assert body == given["body"]
    assert browser.opened(body) == RFC_8291["plaintext"]


def test_classes_cannot_be_told_apart_by_size() -> None:
    browser, other = Browser(), Browser()
    endpoint = Endpoint("https://push.example/", browser.p256dh, browser.auth)
    sizes = set()
    for kind in PushClass:
        body = encrypted(content_of(kind), endpoint, private_key_of(os.urandom(31) + b"\x01"), os.urandom(16))
        assert browser.read(body) == {"class": str(kind)}
        with pytest.raises(InvalidTag):
            other.read(body)
        sizes.add(len(body))
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("fcm.googleapis.com", True),
        ("evil.fcm.googleapis.com", False),
        ("fcm.googleapis.com.evil.example", False),
        ("web.push.apple.com", True),
        ("push.apple.com", False),
        ("evilpush.apple.com", False),
        ("", False),
    ],
)
def test_only_allowed_push_services(host: str, allowed: bool) -> None:
    assert host_is_allowed(host, ["fcm.googleapis.com", "*.push.apple.com"]) is allowed
