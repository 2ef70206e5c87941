"""What an endpoint and the other side tell each other of media: descriptions, answers, restarts, candidates.

The row of the call says what there is; `MediaAtWork` what was done of it. Perfect negotiation (W3C WebRTC 1.0, 10.7):
where both have offered, the callee's side gives way.

Source: docs/protocol.md, section 20.3.
"""

from collections.abc import Awaitable, Callable

from rapport.engine.calls import calling_out
from rapport.engine.calls.call_rows import CallRow
from rapport.engine.calls.media_watch import MediaAtWork
from rapport.engine.vault.turn import Turn
from rapport.ports import Description
from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.ids import MessageId
from rapport_protocol.meeting import TurnCredentials

__all__ = ["negotiate"]

Do = Callable[[Callable[[Turn], object]], Awaitable[object]]


async def negotiate(
    do: Do, media: MediaAtWork, row: CallRow, credentials: Callable[[], Awaitable[TurnCredentials | None]]
) -> None:
    """Descriptions and candidates, in the order in which they depend on each other. Raises what the endpoint raises."""
    theirs = row.theirs
    if theirs is not None and theirs.description is not None and theirs.number > media.taken:
        media.taken, media.candidates = theirs.number, ()
        await _take(do, media, row, theirs.description)
    elif theirs is None and media.described is None and _begins(media, row):
        await _describe(do, media, row.call, await media.endpoint.describe())
    if row.restarts > media.restarts:
        media.restarts = row.restarts
        await _restart(do, media, row, credentials)
    if theirs is not None and media.taken == theirs.number and theirs.candidates != media.candidates:
        media.candidates = theirs.candidates
        await media.endpoint.add_candidates(theirs.candidates)


def _begins(media: MediaAtWork, row: CallRow) -> bool:
    """Whether it is for us to describe first: we have accepted, or have moved the call here."""
    if row.machine.asks is CallStep.MIGRATE:
        return True
    return row.machine.entry.incoming and media.runs == 1


async def _take(do: Do, media: MediaAtWork, row: CallRow, theirs: Description) -> None:
    if theirs.kind == "answer":
        if media.offered:  # else it is to an offer before that one
            media.offered = False
            await media.endpoint.take(theirs)
    elif row.machine.entry.incoming or not media.offered:
        await _describe(do, media, row.call, await media.endpoint.answer(theirs))


async def _describe(
    do: Do, media: MediaAtWork, call: MessageId, description: Description, *, restart: bool = False
) -> None:
    media.described, media.ours, media.offered = description, (), description.kind == "offer"
    run = media.runs
    await do(lambda turn: calling_out.our_description(turn, call, description, restart=restart, run=run))


async def _restart(
    do: Do, media: MediaAtWork, row: CallRow, credentials: Callable[[], Awaitable[TurnCredentials | None]]
) -> None:
    """ICE is to be restarted: by our new offer if we may, else by asking the calling device.

    An endpoint that would have to begin anew for it does so when the other side needs it, and asks for it itself
    only if its way does not come back: after eight seconds.
    """
    asked, media.asked = row.asked > media.asked, row.asked
    media.patience -= 1
    needed = media.endpoint.restarts or media.failed
    if row.restart_owner and media.offered:
        return  # they have not answered yet: a second offer would be met by the answer to the first
    if row.restart_owner and (needed or asked):
        await _describe(do, media, row.call, await media.endpoint.restart(await credentials()), restart=True)
    elif not row.restart_owner and media.described is not None and (needed or media.patience < 0):
        described, run = media.described, media.runs
        await do(lambda turn: calling_out.our_description(turn, row.call, described, restart=True, run=run))
