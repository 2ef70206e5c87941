"""The browser app as it was built: every file with the hash that it must have.

`manifest.json` is made with the files (`client_sdk/web/build.mjs`); it is also what a server publishes, so that anybody
can compare what is served with what was released.
"""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

__all__ = ["MANIFEST_PATH", "WEB_APP", "ListedFile", "WebAppProblem", "WebFile", "WebFiles", "read_manifest"]

WEB_APP: Final = Path(__file__).parent / "web_app"
"""Where the build puts it; absent in a checkout that has not been set up."""
MANIFEST_PATH: Final = "/.well-known/rapport-client.json"
"""Where a server publishes the manifest."""
_COMPRESS_ABOVE: Final = 1024
"""Bytes; below this, compression saves no packet."""


class WebAppProblem(Exception):
    """The built app is not whole. Its text is one sentence for the operator."""


class ListedFile(Struct, frozen=True):
    """One line of the manifest. path: in the URL; file: in the folder; sha256: hexadecimal."""

    path: str
    file: str
    type: str
    sha256: str
    bytes: int


class _Manifest(Struct, frozen=True):
    version: int
    files: list[ListedFile]


class WebFile(Struct, frozen=True):
    """What is sent. compressed: gzip, None where it is not worth it. named_by_hash: never changes under its name."""

    type: str
    body: bytes
    compressed: bytes | None
    named_by_hash: bool


class WebFiles(Struct, frozen=True):
    """The app in memory, less than 2 MB. by_path: URL path -> file, the shell at "/"; manifest: its bytes."""

    by_path: Mapping[str, WebFile]
    manifest: bytes

    @classmethod
    def load(cls, folder: Path = WEB_APP) -> "WebFiles | None":
        """The app in `folder`; None when none was built.

        Raises WebAppProblem when a file is missing or is not the one that the manifest names.
        """
        try:
            manifest = (folder / "manifest.json").read_bytes()
        except FileNotFoundError:
            return None
        files = {listed.path: _read(folder, listed) for listed in read_manifest(manifest)}
        return cls(MappingProxyType(files), manifest)


def read_manifest(manifest: bytes) -> list[ListedFile]:
    """Its files. WebAppProblem when it is malformed or of a version that this program does not know."""
    try:
        read = msgspec.json.decode(manifest, type=_Manifest)
    except msgspec.DecodeError:
        raise WebAppProblem("the browser app's manifest cannot be read") from None
    if read.version != 1:
        raise WebAppProblem("the browser app's manifest is of another version")
    return read.files


def _read(folder: Path, listed: ListedFile) -> WebFile:
    try:
        body = (folder / listed.file).read_bytes()
    except OSError:
        raise WebAppProblem(f"the browser app is not whole: {listed.file} is missing") from None
    if hashlib.sha256(body).hexdigest() != listed.sha256:
        raise WebAppProblem(f"the browser app was changed after it was built: {listed.file}")
    compressed = gzip.compress(body, mtime=0) if len(body) > _COMPRESS_ABOVE else None
    return WebFile(listed.type, body, compressed, listed.path.startswith("/assets/"))
