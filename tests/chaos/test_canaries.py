"""The search for secrets finds them in every shape it claims to know."""

from __future__ import annotations

import base64
import json
import random

import msgspec
import pytest

from tests.chaos.canaries import hits, shapes

TEXT = 'Canary: "I slept badly", said Zoë.'
KEY = random.Random(7).randbytes(32)


@pytest.mark.parametrize("secret", [TEXT, KEY], ids=["text", "key"])
def test_every_shape_is_found(secret: str | bytes) -> None:
    raw = secret.encode() if isinstance(secret, str) else secret
    written = {
        "raw": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "MessagePack": msgspec.msgpack.encode({"body": [secret, 1]}),
        "JSON": json.dumps([secret]).encode() if isinstance(secret, str) else json.dumps([secret.hex()]).encode(),
        "UTF-16": secret.encode("utf-16") if isinstance(secret, str) else raw,
        "UTF-16 BE": secret.encode("utf-16-be") if isinstance(secret, str) else raw,
    }
    for shift in range(3):
        around = bytes(shift) + raw + b"and what follows"
        written[f"base64 {shift}"] = base64.b64encode(around)
        written[f"base64url {shift}"] = base64.urlsafe_b64encode(around)
    for shape, content in written.items():
        assert hits({"secret": secret}, {"place": b"before " + content + b" after"}), shape


def test_nothing_is_found_where_nothing_is() -> None:
    noise = random.Random(1).randbytes(1_000_000)
    assert hits({"text": TEXT, "key": KEY}, {"noise": noise, "hex": noise.hex().encode()}) == []


def test_no_shape_is_so_short_that_chance_would_write_it() -> None:
    assert min(len(shape) for secret in (TEXT, KEY) for shape in shapes(secret).values()) >= 16
