"""`rapport web verify`: is what a server serves what was released?

Fetches every file of the released app from the server, as a browser would, and compares hash by hash. It finds a server
that was changed or broken into; not one that serves other bytes to others than to whoever verifies.
Source: docs/threat-model.md, "The page itself".
"""

import hashlib
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Final

from msgspec import Struct

from rapport_server.config import origin_of
from rapport_server.web_files import MANIFEST_PATH, WEB_APP, ListedFile, WebAppProblem, read_manifest

__all__ = ["Difference", "Verified", "released_manifest", "verify"]

_REACH_S: Final = 20.0
"""Seconds that each file gets."""
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Largest file that is read: ten times the largest that there is."""
_IN_WHEEL: Final = "rapport_server/web_app/manifest.json"
_NEEDED: Final = ("script-src 'self' 'wasm-unsafe-eval'", "require-trusted-types-for 'script'", "default-src 'none'")
"""Parts of the policy without which foreign code could get into the page."""


class Difference(Struct, frozen=True):
    """One file that is not as released. why: one sentence."""

    path: str
    why: str


class Verified(Struct, frozen=True):
    """What was compared, and what differs; nothing differs = the server serves the released app."""

    files: int
    differences: list[Difference]


def released_manifest(wheel: Path | None) -> bytes:
    """The manifest of a wheel, or of the installed package. WebAppProblem when there is none."""
    try:
        if wheel is None:
            return (WEB_APP / "manifest.json").read_bytes()
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_IN_WHEEL)
    except (OSError, KeyError, zipfile.BadZipFile):
        place = "this installation" if wheel is None else wheel.name
        raise WebAppProblem(f"there is no browser app in {place} to compare with") from None


def verify(url: str, manifest: bytes) -> Verified:
    """Compares what is served at an origin with a released manifest; asks for every file without credentials.

    Raises ConfigurationProblem for a URL that is no origin, WebAppProblem when the server cannot be reached at all.
    """
    origin = origin_of(url)
    listed = read_manifest(manifest)
    served = _fetched(origin + MANIFEST_PATH)
    if isinstance(served, urllib.error.URLError) and not isinstance(served, urllib.error.HTTPError):
        raise WebAppProblem(f"no server answers at {origin}")
    differences = []
    if not isinstance(served, _Answer) or served.body != manifest:
        differences.append(Difference(MANIFEST_PATH, "the published manifest is not the released one"))
    for file in listed:
        why = _why_not(origin, file)
        if why:
            differences.append(Difference(file.path, why))
    return Verified(len(listed), differences)


class _Answer(Struct, frozen=True):
    body: bytes
    type: str
    policy: str


def _fetched(url: str) -> _Answer | Exception:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})  # noqa: S310 - `origin_of` checked it
    try:
        with urllib.request.urlopen(request, timeout=_REACH_S) as answer:  # noqa: S310
            policy = answer.headers.get("Content-Security-Policy", "")
            return _Answer(answer.read(_MOST_BYTES), answer.headers.get_content_type(), policy)
    except (urllib.error.URLError, OSError, HTTPException) as problem:
        return problem


def _why_not(origin: str, file: ListedFile) -> str:
    answer = _fetched(origin + file.path)
    if not isinstance(answer, _Answer):
        return "is not served"
    if hashlib.sha256(answer.body).hexdigest() != file.sha256:
        return "is not the released file"
    if answer.type != file.type:
        return f"is served as {answer.type}"
    missing = [part for part in _NEEDED if part not in answer.policy]
    return f"is served without {missing[0]}" if missing else ""
