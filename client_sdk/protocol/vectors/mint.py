"""Mints the cryptographic vectors: `python mint.py` writes them, `--check` says whether the stored ones are current.

Randomness is repeatable; only ML-KEM ciphertexts are drawn anew where none is stored yet. Formats: docs/protocol.md,
chapter 11.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minting import accounts, conventions, linking, membership, messages, office, sessions

FOLDER = Path(__file__).resolve().parent

FILES: dict[str, tuple[int, Callable[[], list[dict[str, Any]]]]] = {
    "labels.json": (1, conventions.labels),
    "kdf.json": (1, conventions.kdfs),
    "hashes.json": (1, conventions.hashes),
    "signatures.json": (1, conventions.signatures),
    "weak_keys.json": (1, conventions.weak_keys),
    "kem.json": (1, conventions.kem),
    "device_lists.json": (2, accounts.device_lists),
    "prekeys.json": (2, accounts.prekeys),
    "safety_number.json": (2, accounts.safety_numbers),
    "invites.json": (3, accounts.invites),
    "membership.json": (3, membership.membership),
    "padding.json": (4, messages.padding),
    "messages.json": (4, messages.messages),
    "handshake.json": (5, sessions.handshakes),
    "ratchet.json": (6, sessions.ratchets),
    "archive.json": (7, messages.archive),
    "signals.json": (8, messages.signals),
    "sign_in.json": (9, conventions.sign_in),
    "linking.json": (13, linking.linking),
    "office.json": (15, office.office),
    "urgent.json": (17, office.urgent),
}
"""File name -> (chapter of docs/protocol.md, maker of its cases), in order: kem.json before handshake.json."""


def main() -> int:
    """Write or check every file; exit code 1 if a stored one differs."""
    parser = argparse.ArgumentParser(description="Mint the cryptographic vectors.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a stored file differs")
    check = parser.parse_args().check
    stale = []
    for name, (chapter, make) in FILES.items():
        text = json.dumps({"chapter": chapter, "cases": make()}, indent=1) + "\n"
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="ascii") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="ascii")
    sys.stdout.write(f"{'stale' if check else 'written'}: {', '.join(stale) or 'none'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
