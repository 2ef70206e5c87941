"""Hands the local network's certificate to phones, in clear text, on a port of its own.

Whoever can change it on its way can have a phone trust another authority; the fingerprint in the server's terminal is
there to compare. Source: docs/operate.md, "On the local network".
"""

from aiohttp import web

__all__ = ["authority_routes"]


def authority_routes(certificate: bytes, fingerprint: str, url: str) -> list[web.RouteDef]:
    """`GET /` says what to do, `GET /rapport.crt` is the certificate (PEM).

    url: where the app is, once the certificate is trusted.
    """
    steps = (
        "1. Download /rapport.crt from this address and install it as a certificate authority in the phone's settings\n"
        "   (iOS: also turn it on under General, About, Certificate Trust Settings).\n"
        f"2. Compare its SHA-256 fingerprint with the one in the server's terminal:\n   {fingerprint}\n"
        f"3. Open {url}\n\n"
        "It can vouch for addresses of private networks only. Remove it from the phone when you are done.\n"
    )

    async def explain(_request: web.Request) -> web.Response:
        return web.Response(text=steps)

    async def hand_out(_request: web.Request) -> web.Response:
        headers = {"Content-Disposition": "attachment; filename=rapport.crt"}
        return web.Response(body=certificate, content_type="application/x-x509-ca-cert", headers=headers)

    return [web.get("/", explain), web.get("/rapport.crt", hand_out)]
