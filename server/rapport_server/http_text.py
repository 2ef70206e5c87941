"""The HTTP operations in words, made from the table that serves them.

Source of docs/http.md; `python -m rapport_server.http_text > docs/http.md` writes it.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.inspect import BytesType, IntType, ListType, Metadata, NoneType, StrType, StructType, UnionType

from rapport_protocol import answering, device_requests, meeting, requests
from rapport_protocol.errors import ErrorCode
from rapport_protocol.requests import OPERATIONS, Operation, Role
from rapport_server.config import Config
from rapport_server.doors.http.budgets import BUDGETS
from rapport_server.doors.http.refusals import STATUS

__all__ = ["reference"]

_INTRODUCTION = """\
# HTTP operations

Everything that is request and answer goes over HTTP, to the host of the stream. This page is the normative table that
[protocol.md](protocol.md), 12.6, refers to; byte strings named after a structure hold a layout of that text.

## Requests

- **Ids** in paths are 32 lower- or upper-case hexadecimal digits. One that is malformed cannot exist: `not_found`.
- **Query values** are decimal whole numbers up to 2^53 - 1, otherwise `bad_format`. Unknown ones are ignored.
- **Bodies** are MessagePack (`Content-Type: application/msgpack`) or JSON (`application/json`) of the same types: every
  type is an array of its fields in order. In JSON, byte strings are base64 text with padding. Fields at the end may be
  missing where they have a default; further ones are ignored. Another media type or a `Content-Encoding` is refused
  with 415. A body of more than 262,144 bytes is `too_large`, one that takes longer than the server allows is 408.
- **Answers** come as `Accept` asks: MessagePack if it names `application/msgpack`; else JSON if it names
  `application/json`; else in the manner of the request's body, or MessagePack.
- **Proof.** A signed-in device sends `Authorization: Bearer` and its `http_token` as base64url without padding. A token
  lives one hour; it is renewed on the stream and dropped when its device is revoked. Operations for `anybody` need
  none.
- **Origin.** A request with an `Origin` header that is not on the server's allow-list is `forbidden`; one without the
  header is not. There is no CORS.
- **Gates** are passed in this order: path, origin, token, role, rate, body, operation.

Every operation may be repeated. The same bytes get the same answer, also when the first answer was lost and the state
has moved on since: an invite that was used, an entry that was followed by others, a list that stands.

What is absent, what belongs to somebody else and what belongs to another practice are answered alike, to the byte.

## Refusals

A refusal is `application/problem+json` (RFC 9457): `type` (`about:blank`), `status`, `title`, `code` (protocol.md,
12.7), `retryable`, `retry_after_ms`, and for `epoch_stale` the conversation's `epoch` now. `Retry-After` repeats the
waiting time in whole seconds, rounded up. An unknown path is 404 `not_found`, an unknown method 405 `unsupported` with
`Allow`. Bytes that are no HTTP at all get 400 `bad_frame`, and the connection closes.

"""

_NOTES = {
    "invite.view": (
        "used, expired and absent invites are `not_found`. The device lists are complete, from list 1: entries may "
        "name old ones."
    ),
    "account.register": (
        "authorised by the join's second signature or by the owner token. `list` is list 1: one device, signed by the "
        "identity key. The same device with other content is `conflict`. On `epoch_stale` fetch the invite again and "
        "sign the join anew, under the same keys."
    ),
    "devices.lists": (
        "`?from=V`: from version V; without it, or with 0, from the newest list signed by the identity key. Own lists, "
        "those of members of a conversation one is in, and those of whoever has entries in such a conversation's chain."
    ),
    "devices.update": (
        "by a device of the account. A list that adds a device (one at a time) comes with that device's prekeys; for "
        "30 days after a restore they may be missing, and the device uploads them when it is back. The answer holds "
        "the list that stands. Devices that are no longer listed lose their tokens, their mail and their connections "
        "at once; the account's other devices and its contacts get a `devices_changed` notice."
    ),
    "devices.restore": (
        "for a device that a restored server does not know (close code 4501). Lists that stand already are skipped; "
        "then each must follow the one before, as always, and is taken on its signatures alone. Refused `list_stale` "
        "or `rule_broken`: the account has other lists, and the device is really out."
    ),
    "prekeys.upload": (
        "of the asking device. Idempotent by id; an id with other bytes is `conflict`, and nothing is taken then. With "
        "`replace`, the device's one-time bundles that are not in the upload are dropped in the same step. An id at or "
        "below the highest one ever uploaded that the server does not hold was claimed or dropped, and is left out."
    ),
    "prekeys.claim": (
        "one bundle per device, for devices of oneself and of members of a conversation one is in; others are left "
        "out. The same claim id gets the same bundles for 10 minutes. A claim never fails for want of one-time keys: "
        "when they have run out, or beyond 10 an hour and 40 a day per asking account and device, or 200 an hour per "
        "asking account, the last-resort key is handed out and flagged."
    ),
    "invite.create": (
        "`genesis` and `invite` for a new conversation, `invite` alone for one that the asker is an admin of. The "
        "genesis names the asker's own role. An owner invites therapists and clients, a therapist clients (`forbidden` "
        "otherwise)."
    ),
    "linking.open": (
        'step 0 of "Linking" in protocol.md, by a device of the account. The link lives three minutes; the same id '
        "with other bytes, or by another device, is `conflict`."
    ),
    "linking.step": "steps 2, 3 and 5, by the device that opened the link. An earlier step missing is `rule_broken`.",
    "linking.answer": "steps 1 and 4, by whoever knows the link's id.",
    "linking.state": "absent and expired links are `not_found`.",
    "conversation.list": "the self conversation included.",
    "membership.append": (
        "any entry but `genesis` and `invite`, signed by the asking device, not ahead of the server's clock by more "
        "than 90 s. `join` is for accounts of the practice that hold an open invite for the role they have."
    ),
    "membership.chain": "`?above=E`: entries with a higher epoch; without it, all.",
    "conversation.devices": "the devices a post must be sealed for, the asking one included.",
    "archive.page": (
        "`?from=S&to=S&limit=N`: both ends included, at most 256 items and about 1 MiB a page. Only messages that the "
        "asking account has an archive entry for."
    ),
    "messages.fetch": "from the device's mailbox (parked ones too) and from the account's archive.",
    "messages.receipts": "of posts by the asking account; one that is left out was acknowledged by all and swept.",
    "office.publish": (
        "by a device of the account. The document that stands may be sent again at any time. Else `conflict`: its "
        "version is not above the one that stands; `bad_time`: issued more than 90 s off; `unauthenticated`: by a "
        "device that is not listed; `forbidden`: of another account; `rule_broken`: the rules contradict themselves or "
        "name a zone that the server does not know."
    ),
    "office.document": "one's own, and those of whom one is in a conversation with now; others are `not_found`.",
    "office.holidays": (
        "`?country=GB&region=ENG&year=2026`: by ISO 3166 codes; without `region` those of the whole country, without "
        "`year` this year's, 2000 to 2100. A country that is not known is `not_found`, a region or year `bad_format`."
    ),
    "push.state": "of the asking device.",
    "push.subscribe": "of the asking device; the same again changes nothing.",
    "appointment.put": (
        "1 to 52 rows of one conversation, all of them or none. The asker becomes the host of what is new, and is the "
        "only one who may change it: another one's is `not_found`. `conflict`: not the next version; `bad_time`: a "
        "start that is not in the future, or more than five years ahead; `rule_broken`: other minutes than 10 to 120, "
        "an unknown modality or zone, members that are not ascending, not two at least with the host among them, or "
        "not of the conversation; `too_many`: more than 4,096 to come. `moved_from_ms` is kept by the server. What "
        "stands already changes nothing. All members' devices get a notice `appointment` per row."
    ),
    "appointment.list": "`?from=MS&to=MS`: one's own that start at or after `from` and before `to`, 256 at most.",
    "appointment.outcome": (
        "by its host, in place of what the server has counted: `completed`, `no_show` or `cancelled`, otherwise "
        "`rule_broken`; before it has begun `bad_time`."
    ),
    "appointment.reached": (
        "by a member's device that has taken the last reminder of these minutes. Earlier reminders change nothing. "
        "The members' devices get a notice `appointment`."
    ),
    "appointment.calendar": "by a member; METHOD:CANCEL once it is cancelled.",
    "calendar.feed": "of the asker's account; the address before is void. The file itself needs no token.",
    "calendar.end": "the answer's path is empty.",
    "room.view": (
        "by members, and by accounts that a join link has let in with the asking device. A therapist or owner who is a "
        "member sees everybody, anybody else nobody but themselves."
    ),
    "room.knock": (
        "by a member who is not its host (`rule_broken` for that one), or with the device that a join link is bound "
        "to. On a closed or locked door nothing changes."
    ),
    "room.act": (
        "by a therapist or owner who is a member. `conflict`: the person has changed after the `version` that was "
        "shown; `not_found`: nobody of that account has come; `rule_broken`: an unknown act, no account, no call where "
        "people meet by one, or somebody who is not on the appointment without `sure`. The same act again, and what is "
        "not in the table for the person's state, changes nothing."
    ),
    "room.link": (
        "by the host of the appointment. It ends in the future and within a day of the appointment's end, otherwise "
        "`rule_broken`. An id with other content is `conflict`, a ninth link that has not expired `too_many`."
    ),
    "room.use_link": (
        "binds the link to the asking device. `not_found`, all alike: no such link, not yet or not any more, another "
        "device's, a wrong secret, a wrong passcode, five wrong passcodes before. A therapist or owner who is a member "
        "of the appointment is answered without being bound, and asked for no passcode."
    ),
    "room.end_link": (
        "by the host of the appointment: from now on the link lets nobody in, nor the device that it is bound to. "
        "`not_found`: no such link. The same again is answered alike."
    ),
    "urgent.seen": (
        "by whoever is in the message's conversation and did not write it, or by the colleague who was asked. Other "
        "messages are `not_found`."
    ),
    "turn.credentials": (
        "for a call that lives, to the devices that may be in it now; for an appointment, a minute's worth once in two "
        'minutes, to test devices. "TURN" in protocol.md says who; everybody else is `not_found`. Both named, or '
        "neither, is `bad_format`."
    ),
}


def reference() -> str:
    """The page."""
    return _INTRODUCTION + "".join((*_statuses(), *_operations(), *_bodies()))


def _statuses() -> Iterator[str]:
    by_status: dict[int, list[str]] = {}
    for code in ErrorCode:
        by_status.setdefault(int(STATUS[code]), []).append(f"`{code.value}`")
    yield "| status | codes |\n|---|---|\n"
    for status in sorted(by_status):
        yield f"| {status} | {', '.join(by_status[status])} |\n"


def _operations() -> Iterator[str]:
    rates = Config().rates
    yield """
## Operations

Rates are the defaults of `[rates]` in [configuration.md](configuration.md): so many at once, then so many per second;
counted for the device, the account or the network address.

"""
    yield "| operation | request | body | answer | who | rate |\n|---|---|---|---|---|---|\n"
    for operation in OPERATIONS.values():
        budget, counted = BUDGETS[operation.name]
        limit = getattr(rates, budget)
        body = "" if operation.request is None else f"`{operation.request.__name__}`"
        request = f"`{operation.method} {operation.path}`"
        answer = f"`{operation.response.__name__}`"
        rate = f"{limit.burst}, {limit.per_s:.3g}/s per {counted.value}"
        yield f"| `{operation.name}` | {request} | {body} | {answer} | {_who(operation)} | {rate} |\n"
    yield "\n"
    for name in OPERATIONS:
        yield f"- **{name}**: {_NOTES[name]}\n"
    yield """
Beside them: `GET /v1/stream` upgrades to the WebSocket of protocol.md, 12. `GET /healthz` answers 200 while the process
turns, `GET /readyz` 200 while it can do its work and 503 with a few words while not.
"""


def _who(operation: Operation) -> str:
    if not operation.roles:
        return "anybody"
    return "every role" if operation.roles == frozenset(Role) else ", ".join(r for r in Role if r in operation.roles)


def _bodies() -> Iterator[str]:
    yield "\n## Bodies\n\nArrays of these fields, in this order.\n"
    for kind in _kinds():
        yield f"\n### {kind.__name__}\n\n{inspect.getdoc(kind)}\n\n| field | type |\n|---|---|\n"
        for field in msgspec.structs.fields(kind):
            default = "" if field.required else ", may be missing"
            yield f"| `{field.name}` | {_words(msgspec.inspect.type_info(field.type))}{default} |\n"


def _kinds() -> list[type[Struct]]:
    """The types of all bodies and those inside them, in the order of the contract."""
    found: set[type] = set()
    pending: list[type[Struct]] = [
        kind for row in OPERATIONS.values() for kind in (row.request, row.response) if kind is not None
    ]
    while pending:
        kind = pending.pop()
        if kind not in found:
            found.add(kind)
            pending.extend(inner for field in msgspec.structs.fields(kind) for inner in _inside(field.type))
    return [
        kind
        for module in (device_requests, requests, meeting, answering)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind in found and kind.__module__ == module.__name__
    ]


def _inside(annotation: object) -> Iterator[type[Struct]]:
    pending = [msgspec.inspect.type_info(annotation)]
    while pending:
        match pending.pop():
            case StructType(cls=cls):
                yield cls
            case ListType(item_type=inner) | Metadata(type=inner):
                pending.append(inner)
            case UnionType(types=types):
                pending.extend(types)


def _words(kind: msgspec.inspect.Type) -> str:
    """A type in words, with its limits."""
    match kind:
        case Metadata(type=inner):
            return _words(inner)
        case UnionType(types=types):
            return " or ".join(_words(one) for one in types)
        case ListType(item_type=inner, min_length=least, max_length=most):
            return f"array of {_words(inner)}{_count(least, most, 'items')}"
        case BytesType(min_length=least, max_length=most):
            return f"bytes{_count(least, most, 'bytes')}"
        case StructType(cls=cls):
            return f"`{cls.__name__}`"
        case IntType():
            return "integer"
        case NoneType():
            return "nil"
        case StrType():
            return "text"
        case _:
            return "truth" if isinstance(kind, msgspec.inspect.BoolType) else "text, one of: " + ", ".join(Role)


def _count(least: int | None, most: int | None, what: str) -> str:
    if most is None:
        return ""
    if least == most:
        return f" ({most:,})"
    return f" (at most {most:,})" if not least else f" ({least:,} to {most:,} {what})"


def _main(arguments: Sequence[str]) -> int:
    """Prints the page, or with `--check FILE` says whether the file is that page."""
    if len(arguments) == 2 and arguments[0] == "--check":
        if Path(arguments[1]).read_text(encoding="utf-8") == reference():
            return 0
        sys.stderr.write(f"{arguments[1]} is not what the operations say; generate it again\n")
        return 1
    sys.stdout.write(reference())
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
