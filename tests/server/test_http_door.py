"""What the HTTP door does before any service is asked: shapes of refusals, bodies, sizes, times, rates, origins."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress

import aiohttp
import msgspec
import pytest

from rapport_protocol.errors import ErrorCode, Retry
from rapport_protocol.ids import ClaimId
from rapport_protocol.limits import FRAME_BYTES
from rapport_protocol.requests import OPERATIONS, Claim, Claimed, DeviceLists, Problem, Role
from rapport_server.config import Limits, Metrics, RateLimit, RateLimits, Server
from rapport_server.doors.http.budgets import BUDGETS
from rapport_server.doors.http.handlers import HANDLERS
from rapport_server.doors.http.refusals import STATUS
from tests.server.node import GENEROUS, Refused, bearer, running
from tests.server.people import Person


def test_every_operation_has_a_handler_and_a_budget() -> None:
    assert set(HANDLERS) == set(OPERATIONS) == set(BUDGETS)
    assert {budget for budget, _ in BUDGETS.values()} <= set(RateLimits.__struct_fields__)


def test_every_code_has_a_status_that_agrees_with_its_retry_meaning() -> None:
    assert set(STATUS) == set(ErrorCode)
    for code, status in STATUS.items():
        assert (status in {429, 500, 503}) == (code.retry is Retry.LATER) or code is ErrorCode.BLOCKED


async def test_a_refusal_is_a_problem_document() -> None:
    async with running() as node, node.http.get(f"{node.base}/v1/conversations") as response:
        assert response.status == 401
        assert response.content_type == "application/problem+json"
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "rapport", "versions are nobody's business"
        assert "Strict-Transport-Security" not in response.headers
        assert json.loads(await response.read()) == {
            "code": "unauthenticated",
            "status": 401,
            "title": "Unauthorized",
            "retryable": False,
            "retry_after_ms": 0,
            "type": "about:blank",
        }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/invites/zz", 404, "not_found"),
        ("GET", "/v1/invites/" + "a" * 31, 404, "not_found"),
        ("GET", "/v1/invites/" + "é" * 32, 404, "not_found"),
        ("GET", "/v1/invites/" + "0" * 32, 404, "not_found"),
        ("DELETE", "/v1/devices", 405, "unsupported"),
        ("GET", "/v1/register", 405, "unsupported"),
        ("BREW", "/v1/register", 400, "bad_frame"),
    ],
)
async def test_unknown_paths_and_methods(method: str, path: str, status: int, code: str) -> None:
    async with running() as node, node.http.request(method, node.base + path) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert msgspec.json.decode(await response.read(), type=Problem).code == code
        if status == 405:
            assert response.headers["Allow"]


async def test_bodies_are_messagepack_or_json_and_nothing_else() -> None:
    async with running() as node:
        owner = await node.owner()
        claim = Claim(ClaimId(os.urandom(16)), [])
        for as_json in (False, True):
            assert await node.ask("prekeys.claim", owner, claim, json=as_json) == Claimed([])
        for headers, content, status, code in (
            ({"Content-Type": "text/plain"}, b"x", 415, "unsupported"),
            ({"Content-Type": "application/msgpack", "Content-Encoding": "gzip"}, b"x", 415, "unsupported"),
            ({"Content-Type": "application/msgpack"}, b"\xc1", 400, "bad_frame"),
            ({"Content-Type": "application/msgpack"}, b"", 400, "bad_frame"),
            ({"Content-Type": "application/msgpack"}, b"\x92\xc4\x01a\x90", 400, "bad_frame"),
            ({"Content-Type": "application/json"}, b"[" * 100_000, 400, "bad_frame"),
        ):
            with pytest.raises(Refused) as refused:
                await node.ask("prekeys.claim", owner, content, headers=headers)
            assert (refused.value.status, refused.value.problem.code) == (status, code)


async def test_the_answer_comes_as_it_is_asked_for() -> None:
    async with running() as node:
        owner = await node.owner()
        url = f"{node.base}/v1/accounts/{owner.account.hex()}/devices"
        proof = {"Authorization": f"Bearer {bearer(owner.token)}"}
        for accept, kind in (
            ("application/json", "application/json"),
            ("application/json, application/msgpack", "application/msgpack"),
            ("*/*", "application/msgpack"),
        ):
            async with node.http.get(url, headers={**proof, "Accept": accept}) as response:
                assert response.content_type == kind
                content = await response.read()
                decode = msgspec.json.decode if kind.endswith("json") else msgspec.msgpack.decode
                assert decode(content, type=DeviceLists) == DeviceLists([owner.lists[0].encoded])


@pytest.mark.parametrize(
    "query", ["?from=-1", "?from=x", "?from=1.5", "?from=%C2%B2", "?from=9007199254740992", "?from="]
)
async def test_query_values_are_whole_numbers(query: str) -> None:
    async with running() as node:
        owner = await node.owner()
        with pytest.raises(Refused) as refused:
            await node.ask("devices.lists", owner, account=owner.account, query=query)
        assert (refused.value.status, refused.value.problem.code) == (400, "bad_format")


@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "in chunks"])
async def test_the_largest_body_is_read_and_one_byte_more_is_not(announced: bool) -> None:
    async def chunks(size: int) -> object:
        while size > 0:
            yield b"x" * min(size, 65_536)
            size -= 65_536

    async with running() as node:
        for size, code in ((FRAME_BYTES, "bad_frame"), (FRAME_BYTES + 1, "too_large")):
            content = b"x" * size if announced else chunks(size)
            headers = {"Content-Type": "application/msgpack"}
            async with node.http.post(f"{node.base}/v1/register", data=content, headers=headers) as response:
                assert msgspec.json.decode(await response.read(), type=Problem).code == code


async def test_over_the_rate_says_when_again() -> None:
    rates = msgspec.structs.replace(GENEROUS, read=RateLimit(3, 0.5), register=RateLimit(2, 1.0))
    async with running(rates) as node:
        owner = await node.owner()
        for _ in range(3):
            await node.ask("conversation.list", owner)
        with pytest.raises(Refused) as refused:
            await node.ask("conversation.list", owner)
        assert (refused.value.status, refused.value.problem.code) == (429, "rate_limited")
        assert refused.value.problem.retryable
        wait_ms = refused.value.problem.retry_after_ms
        assert wait_ms == pytest.approx(2000, abs=2)
        assert refused.value.headers["Retry-After"] == str(-(-wait_ms // 1000))
        node.clock.pass_ms(wait_ms)
        await node.ask("conversation.list", owner)


async def test_registrations_are_counted_by_address() -> None:
    rates = msgspec.structs.replace(GENEROUS, register=RateLimit(2, 0.001))
    async with running(rates, server=Server(port=0, trust_proxy=True)) as node:
        request = Person(Role.OWNER, node.clock.now_ms()).registration(owner_token=os.urandom(32))

        async def attempt(forwarded: str) -> str:
            with pytest.raises(Refused) as refused:
                await node.ask("account.register", None, request, headers={"X-Forwarded-For": forwarded})
            return refused.value.problem.code

        assert [await attempt("192.0.2.1") for _ in range(3)] == ["not_found", "not_found", "rate_limited"]
        assert await attempt("192.0.2.1, 192.0.2.2") == "not_found", "only the proxy's own word counts"
        assert await attempt("192.0.2.9, 192.0.2.1") == "rate_limited"
        assert [await attempt(f"2001:db8::{n}") for n in range(1, 4)] == ["not_found", "not_found", "rate_limited"]
        assert await attempt("::ffff:192.0.2.1") == "rate_limited", "the same address in other clothes"


async def test_a_proxy_may_add_a_header_of_its_own() -> None:
    rates = msgspec.structs.replace(GENEROUS, invite_view=RateLimit(1, 0.001))
    async with running(rates, server=Server(port=0, trust_proxy=True)) as node:
        codes = []
        for made_up in ("192.0.2.7", "192.0.2.8"):
            headers = [("X-Forwarded-For", made_up), ("X-Forwarded-For", "192.0.2.1")]
            async with node.http.get(f"{node.base}/v1/invites/{os.urandom(16).hex()}", headers=headers) as response:
                codes.append(response.status)
        assert codes == [404, 429], "the last header is the proxy's"


async def test_without_a_proxy_the_header_is_a_strangers_word() -> None:
    rates = msgspec.structs.replace(GENEROUS, invite_view=RateLimit(1, 0.001))
    async with running(rates) as node:
        codes = []
        for number in range(2):
            with pytest.raises(Refused) as refused:
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                await node.ask("invite.view", headers=headers, invite=os.urandom(16))
            codes.append(refused.value.problem.code)
        assert codes == ["not_found", "rate_limited"]


async def test_pages_of_other_origins_are_refused() -> None:
    async with running(server=Server(port=0, origins=["https://practice.example"])) as node:
        owner = await node.owner()
        for origin in (node.base, node.app.url, "https://practice.example"):
            await node.ask("conversation.list", owner, headers={"Origin": origin})
        for origin in ("https://practice.example.evil.example", "null", "https://practice.example:8443"):
            with pytest.raises(Refused) as refused:
                await node.ask("conversation.list", owner, headers={"Origin": origin})
            assert (refused.value.status, refused.value.problem.code) == (403, "forbidden")
            async with node.http.get(f"{node.base}/v1/stream", headers={"Origin": origin}) as response:
                assert response.status == 403


async def _spoken(port: int, said: bytes) -> bytes:
    """Says something over a bare socket, then listens until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(said)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["nothing", "half a head"])
async def test_who_connects_and_does_not_ask_is_closed(said: bytes) -> None:
    async with running(limits=Limits(header_s=0.2)) as node:
        assert await _spoken(node.app.port, said) == b""
        async with node.http.get(f"{node.base}/healthz") as response:
            assert response.status == 200


async def test_a_body_that_does_not_come_is_given_up() -> None:
    head = (
        b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/msgpack\r\nContent-Length: 10\r\n\r\nabc"
    )
    async with running(limits=Limits(body_s=0.2)) as node:
        answer = await _spoken(node.app.port, head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"bad_frame"' in answer


async def test_silent_connections_are_bounded() -> None:
    async with running(limits=Limits(silent_connections=3, header_s=30.0)) as node:
        held = [await asyncio.open_connection("127.0.0.1", node.app.port) for _ in range(3)]
        # The three are counted once their protocols exist; a fourth that is served would mean the bound does not hold.
        reader, writer = await asyncio.open_connection("127.0.0.1", node.app.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        for _, open_writer in [*held, (reader, writer)]:
            open_writer.close()


async def test_a_head_too_large_is_refused() -> None:
    async with running() as node:
        answer = await _spoken(node.app.port, b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 400 ")
        assert b"application/problem+json" in answer
        assert b"aaaa" not in answer


async def test_health_readiness_and_metrics() -> None:
    async with running(metrics=Metrics(enabled=True, port=0)) as node:
        owner = await node.owner()
        await node.ask("conversation.list", owner)
        for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
            async with node.http.get(node.base + path) as response:
                assert (response.status, await response.text()) == (200, text)
        async with node.http.get(f"{node.base}/metrics") as response:
            assert response.status == 404, "not on the public port"
        async with node.http.get(f"http://127.0.0.1:{node.app.metrics_port}/metrics") as response:
            page = await response.text()
        assert 'rapport_http_requests_total{operation="conversation.list",status="200"} 1.0' in page
        assert "rapport_stream_connections 0.0" in page
        for secret in (owner.account.hex(), owner.device.hex(), owner.token.hex(), bearer(owner.token), "127.0.0.1"):
            assert secret not in page


async def test_browsers_are_told_to_insist_on_tls() -> None:
    behind = Server(port=0, public_url="https://rapport.example", trust_proxy=True)
    async with running(server=behind) as node, node.http.get(f"{node.base}/healthz") as response:
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_a_node_that_drains_is_not_ready() -> None:
    async with running() as node:
        assert node.app.not_ready() is None
        closing = asyncio.ensure_future(node.app.close())
        await asyncio.sleep(0)
        assert node.app.not_ready() == "draining"
        await closing
        with pytest.raises(aiohttp.ClientConnectionError):
            await node.http.get(f"{node.base}/healthz")
