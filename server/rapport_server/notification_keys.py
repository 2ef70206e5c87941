"""Where the keys of pushes and webhooks come from: the configuration, or two files beside the SQLite file.

Source: docs/operate.md, "The notification key".
"""

import os
import secrets
from pathlib import Path
from typing import Final

from msgspec import Struct

from rapport_server.config import Config, ConfigurationProblem
from rapport_server.sealing import key_of_text, new_key, text_of_key

__all__ = [
    "COLUMN_KEY_FILE",
    "VAPID_KEY_FILE",
    "NotificationKeys",
    "key_files",
    "make_key_files",
    "new_vapid_key",
    "read_keys",
]

COLUMN_KEY_FILE: Final = "notification.key"
VAPID_KEY_FILE: Final = "vapid.key"
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""A private key of P-256 is a number from 1 to this less 1 (SEC 2, 2.4.2)."""


class NotificationKeys(Struct, frozen=True):
    """columns: 32 bytes each, the newest first; vapid: 32 bytes."""

    columns: list[bytes]
    vapid: bytes

    def __repr__(self) -> str:
        """Without the keys."""
        return f"NotificationKeys({len(self.columns)})"


def key_files(config: Config) -> tuple[Path, Path]:
    """Where the two files are, if they are."""
    folder = Path(config.store.path).parent
    return folder / COLUMN_KEY_FILE, folder / VAPID_KEY_FILE


def read_keys(config: Config, *, beside_store: bool = True) -> NotificationKeys | None:
    """The keys; None when there are none. beside_store: also look there for what is not configured.

    Raises ConfigurationProblem for one without the other, or malformed ones.
    """
    settings = config.notifications
    columns, vapid = settings.key, settings.vapid_key
    if beside_store and not config.store.url:
        column_file, vapid_file = key_files(config)
        columns, vapid = columns or _content(column_file), vapid or _content(vapid_file)
    if not columns and not vapid:
        return None
    if not columns or not vapid:
        raise ConfigurationProblem("notifications.key and notifications.vapid_key are needed both, or neither")
    try:
        keys = [key_of_text(text.strip()) for text in columns.split(",")]
        signing = key_of_text(vapid.strip())
    except ValueError as problem:
        raise ConfigurationProblem(f"notifications.key and notifications.vapid_key: {problem}") from None
    if not 0 < int.from_bytes(signing, "big") < P256_ORDER:
        raise ConfigurationProblem("notifications.vapid_key is no key of P-256")
    return NotificationKeys(keys, signing)


def new_vapid_key() -> str:
    """A fresh private key of P-256, 32 bytes as base64url."""
    return text_of_key((secrets.randbelow(P256_ORDER - 1) + 1).to_bytes(32, "big"))


def make_key_files(config: Config) -> None:
    """New keys beside the SQLite file, for its owner alone; files that exist stay. Raises ConfigurationProblem."""
    for path, text in zip(key_files(config), (new_key(), new_vapid_key()), strict=True):
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        except OSError as problem:
            raise ConfigurationProblem(f"{path} cannot be written: {problem.strerror}") from None
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(f"{text}\n")


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise ConfigurationProblem(f"{path} cannot be read") from None
