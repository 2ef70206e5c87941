"""The HTTP adapter against a real HTTP server that answers what a test wants answered."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import ANSWER_BYTES, HttpApi
from rapport.ports import Unreachable
from rapport_protocol.codec import BodyCodec
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.ids import ClaimId, DeviceId
from rapport_protocol.requests import Appended, ArchivePage, Claim, Claimed, Problem

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
CONV = bytes(range(16))
TOKEN = bytes(range(32))


@asynccontextmanager
async def api(answer: Answer) -> AsyncIterator[HttpApi]:
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    calls = HttpApi(ServerAddress.parse(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        async with asyncio.timeout(60):
            yield calls
    finally:
        await calls.close()
        await runner.cleanup()


def packed(body: msgspec.Struct) -> web.Response:
    return web.Response(body=BodyCodec.encode(body), content_type="application/msgpack")


def problem(body: Problem | bytes) -> web.Response:
    content, status = (body, 500) if isinstance(body, bytes) else (msgspec.json.encode(body), body.status)
    return web.Response(body=content, status=status, content_type="application/problem+json")


async def test_a_request_carries_ids_query_and_token() -> None:
    seen: list[tuple[str, str, str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.query_string, request.headers.get("Authorization")))
        assert "gzip" not in request.headers.get("Accept-Encoding", "")
        return packed(ArchivePage([], 7))

    async with api(answer) as calls:
        page = await calls.call("archive.page", path={"conv": CONV}, query={"from": 3, "to": 9}, token=TOKEN)
    assert page == ArchivePage([], 7)
    token = base64.urlsafe_b64encode(TOKEN).rstrip(b"=").decode()
    assert seen == [("GET", f"/v1/conversations/{CONV.hex()}/archive", "from=3&to=9", f"Bearer {token}")]


async def test_a_body_arrives_as_it_was_sent() -> None:
    claim = Claim(ClaimId(bytes(16)), [DeviceId(CONV)])

    async def answer(request: web.Request) -> web.Response:
        assert request.content_type == "application/msgpack"
        assert BodyCodec(Claim).decode(await request.read()) == claim
        return packed(Claimed([]))

    async with api(answer) as calls:
        assert await calls.call("prekeys.claim", claim) == Claimed([])


async def test_a_refusal_keeps_its_code_and_its_wait() -> None:
    refusal = Problem("rate_limited", 429, "too often", retryable=True, retry_after_ms=1500)

    async def answer(request: web.Request) -> web.Response:
        return problem(refusal)

    async with api(answer) as calls:
        with pytest.raises(Rejected) as refused:
            await calls.call("conversation.list", token=TOKEN)
    assert refused.value.code is ErrorCode.RATE_LIMITED
    assert refused.value.retry_after_ms == 1500
    assert refused.value.retry is Retry.LATER


@pytest.mark.parametrize(("retryable", "retry"), [(True, Retry.LATER), (False, Retry.NEVER)])
async def test_a_code_of_a_later_version_is_treated_as_its_flag_says(retryable: bool, retry: Retry) -> None:
    async def answer(request: web.Request) -> web.Response:
        return problem(Problem("of_a_later_version", 400, "", retryable=retryable))

    async with api(answer) as calls:
        with pytest.raises(Rejected) as refused:
            await calls.call("conversation.list")
    assert refused.value.retry is retry


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code": 1}'])
async def test_a_malformed_problem_is_a_format_error(body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return problem(body)

    async with api(answer) as calls:
        with pytest.raises(FormatError):
            await calls.call("conversation.list")


async def test_an_answer_of_another_type_is_a_format_error() -> None:
    async def answer(request: web.Request) -> web.Response:
        return packed(Appended(1, 2))

    async with api(answer) as calls:
        with pytest.raises(FormatError):
            await calls.call("archive.page", path={"conv": CONV})


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/msgpack"})
        await response.prepare(request)
        try:
            for _ in range(2 * ANSWER_BYTES // 65_536):
                await response.write(bytes(65_536))
        except ConnectionResetError:
            pass
        return response

    async with api(answer) as calls:
        with pytest.raises(FormatError) as refused:
            await calls.call("conversation.list")
    assert refused.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("status", [200, 302, 404, 502])
async def test_a_page_of_a_proxy_is_no_answer(status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<h1>sign in to the hotel</h1>", status=status, headers={"Location": "/elsewhere"})

    async with api(answer) as calls:
        with pytest.raises(Unreachable):
            await calls.call("conversation.list")


async def test_a_cut_connection_is_no_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with api(answer) as calls:
        with pytest.raises(Unreachable):
            await calls.call("conversation.list")


async def test_a_closed_api_opens_again_when_it_is_called() -> None:
    async def answer(request: web.Request) -> web.Response:
        return packed(Claimed([]))

    async with api(answer) as calls:
        await calls.call("prekeys.claim", Claim(ClaimId(bytes(16)), []))
        await calls.close()
        await calls.close()
        await calls.call("prekeys.claim", Claim(ClaimId(bytes(16)), []))
