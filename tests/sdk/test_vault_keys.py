"""Where a vault's key is: in a file, or in a keyring that may not answer."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rapport.adapters.vault_folder import FileVaultKey
from rapport.adapters.vault_key_keyring import KeyringVaultKey, keyring_answers
from rapport.adapters.vault_keys import put_key_in_keyring, vault_key_of, wipe_vault
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.chat.key_place import place_key
from rapport.ports import VaultProblem

KEY = bytes(range(32))


@pytest.fixture
def no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")


@pytest.mark.usefixtures("no_bus")
async def test_without_a_bus_the_key_is_in_a_file_and_the_person_is_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    assert not keyring_answers()
    assert str(folder / "vault.key") in await place_key(folder)
    vault = await SqliteVault.open(folder, create=True)
    await vault.close()
    assert (folder / "vault.key").stat().st_mode & 0o777 == 0o600
    assert await place_key(folder) == ""


def test_a_bus_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bus"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={path}")
        started = time.monotonic()
        assert not put_key_in_keyring(tmp_path / "vault", KEY)
        assert time.monotonic() - started < 30, "as long as for a person who unlocks it"
    assert not (tmp_path / "vault").exists()


@pytest.mark.usefixtures("no_bus")
async def test_a_vault_whose_keyring_is_gone_says_so_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    folder.mkdir()
    (folder / "vault.keyring").write_text("00" * 16)
    assert isinstance(vault_key_of(folder), KeyringVaultKey)
    with pytest.raises(VaultProblem, match="keyring, which does not answer"):
        await SqliteVault.open(folder, create=True)
    with pytest.raises(VaultProblem, match="keyring, which does not answer"):
        wipe_vault(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "vault.keyring"]


@pytest.mark.usefixtures("no_bus")
def test_an_existing_key_file_keeps_working(tmp_path: Path) -> None:
    FileVaultKey(tmp_path / "vault.key").store(KEY)
    assert not put_key_in_keyring(tmp_path, bytes(32))
    (tmp_path / "vault.keyring").write_text("00" * 16)
    assert vault_key_of(tmp_path).load() == KEY


def in_a_session(script: str, folder: Path) -> str:
    """Runs Python under a session bus of its own with an unlocked keyring; what it printed."""
    for program in ("dbus-run-session", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: no Secret Service to test with")
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime), "LANG": "C.UTF-8"}
    unlocked = 'printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec "$0" -c "$1"'
    command = ["dbus-run-session", "--", "sh", "-c", unlocked, sys.executable, script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


KEEPS = """
import asyncio, os
from pathlib import Path
from rapport.adapters.vault_keys import vault_key_of, wipe_vault
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.chat.key_place import place_key

async def main(folder):
    assert await place_key(folder) == ""
    vault = await SqliteVault.open(folder, create=True)
    await vault.run(lambda tx: tx.put("t", b"key", b"kept"))
    await vault.close()
    assert not (folder / "vault.key").exists()
    assert vault_key_of(folder).load().hex() not in (folder / "vault.keyring").read_text()
    vault = await SqliteVault.open(folder)
    print(await vault.run(lambda tx: tx.get("t", b"key")))
    await vault.close()
    entry = (folder / "vault.keyring").read_text()
    wipe_vault(folder)
    assert os.listdir(folder) == []
    (folder / "vault.keyring").write_text(entry)
    try:
        vault_key_of(folder).load()
    except Exception as problem:
        print(type(problem).__name__)

asyncio.run(main(Path.home() / "vault"))
"""


async def test_with_a_keyring_the_folder_holds_no_key_and_wiping_removes_the_entry(tmp_path: Path) -> None:
    printed = await asyncio.to_thread(in_a_session, KEEPS, tmp_path)
    assert printed.splitlines() == ["b'kept'", "VaultProblem"]
