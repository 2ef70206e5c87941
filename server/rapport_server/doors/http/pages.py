"""The browser app's files, with the headers that keep foreign code out of the page.

Source: docs/threat-model.md, "The page itself"; CSP Level 3, Trusted Types.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from rapport_server.doors.http.operations import OPERATION
from rapport_server.web_files import MANIFEST_PATH, WebFile, WebFiles

__all__ = ["SHELL_PATHS", "page_routes"]

SHELL_PATHS: Final = (
    "/",
    "/i/{invite}",
    "/o",
    "/link",
    "/c/{conversation}",
    "/c/{conversation}/number",
    "/c/{conversation}/cover",
    "/today",
    "/check/{appointment}",
    "/wait/{appointment}",
    "/appointment/{appointment}",
    "/appointment/{appointment}/move",
    "/plan",
    "/plan/{conversation}",
    "/call/{call}",
    "/room",
    "/invite",
    "/hours",
    "/help",
    "/devices",
    "/settings",
)
"""Addresses that people open: each is answered with the shell, which looks at the rest itself."""

_DIRECTIVES: Final = (
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",  # libsodium is WebAssembly
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' blob:",
    "media-src blob:",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types lit-html rapport-worker rapport-offline",
)
_FEATURES: Final = "camera=(self), microphone=(self), geolocation=(), payment=(), usb=(), browsing-topics=()"
"""Calls need camera and microphone of this page alone; nothing needs the others."""


def page_routes(files: WebFiles, embedders: tuple[str, ...]) -> list[web.RouteDef]:
    """A route per file, per address of the shell, and for the manifest.

    embedders: origins whose pages may show the app in a frame.
    """
    frames = f"frame-ancestors {' '.join(embedders)}" if embedders else "frame-ancestors 'none'"
    headers = {
        "Content-Security-Policy": "; ".join((*_DIRECTIVES, frames)),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": _FEATURES,
        "Referrer-Policy": "no-referrer",
    }
    manifest = WebFile("application/json", files.manifest, None, named_by_hash=False)
    routes = [_route(path, "page", files.by_path["/"], headers) for path in SHELL_PATHS]
    routes.append(_route(MANIFEST_PATH, "page_manifest", manifest, headers))
    routes += [_route(path, "page_file", file, headers) for path, file in files.by_path.items() if path != "/"]
    return routes


def _route(path: str, operation: str, file: WebFile, headers: Mapping[str, str]) -> web.RouteDef:
    cached = "public, max-age=31536000, immutable" if file.named_by_hash else "no-cache"
    text = file.type.startswith("text/")
    said = {
        **headers,
        "Cache-Control": cached,
        "Content-Type": f"{file.type}; charset=utf-8" if text else file.type,
        "Vary": "Accept-Encoding",
    }

    async def serve(request: web.Request) -> web.Response:
        request[OPERATION] = operation
        if file.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.compressed, headers={**said, "Content-Encoding": "gzip"})
        return web.Response(body=file.body, headers=said)

    return web.get(path, serve)
