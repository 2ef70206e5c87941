"""What the server says of offices beside their signed documents: whom this device watches, and what is shown of both.

The server's word holds for the connection that it was said on. It can make an office less available than its document
says and never more: without a document that counts nothing is shown, whatever the server says.

Source: docs/protocol.md, sections 15.3 and 15.4.
"""

from collections.abc import Callable, Iterable
from typing import Final

from rapport.agreements import OfficeChanged, OfficeShown, OwnOffice
from rapport.engine.office.office import Held, OfficeView
from rapport.engine.views import ConversationView
from rapport.events import Event
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import WATCHED_ACCOUNTS
from rapport_protocol.messages import ClientMessage, Office, WatchOffice
from rapport_protocol.office.status import OfficeState, OfficeStatus, less_available, office_state
from rapport_protocol.requests import Role

__all__ = ["OfficeWords", "shown_state"]

_KNOWN: Final = frozenset(OfficeStatus)


def shown_state(held: Held, said: tuple[OfficeStatus, int] | None, now_ms: int) -> OfficeState:
    """The less available of the document and the server's word. said: status, and until when (0 = not known).

    Its time counts as far as it promises no more than the document: no end before that of what is closed by that one,
    none behind that of what is open by it.
    """
    state = office_state(held.hours, now_ms)
    if said is None or less_available(state.status, said[0]) is state.status:
        return state
    is_open, until_ms = state.status is OfficeStatus.OPEN, said[1] or None
    if until_ms is not None and is_open:
        until_ms = until_ms if until_ms <= (state.until_ms or until_ms) else None
    elif until_ms is not None:
        until_ms = max(until_ms, state.until_ms) if state.until_ms is not None else None
    return OfficeState(said[0], until_ms, state.changes_at_ms, None if is_open else state.next_open_ms)


class OfficeWords:
    """One device's view of offices. show: hands an event to the host; set by the engine."""

    def __init__(self, account: AccountId, role: Role | None) -> None:
        self.show: Callable[[Event], None] = lambda _: None
        self.own = OwnOffice(None)
        """Our own office hours, as they stand after the last turn."""
        self._account = account
        self._watches_self = role in {Role.OWNER, Role.THERAPIST}
        self._views: dict[AccountId, OfficeView] = {}
        self._wanted: tuple[AccountId, ...] = ()
        self._send: Callable[[ClientMessage], None] | None = None
        self._watched: tuple[AccountId, ...] = ()
        self._said: dict[AccountId, tuple[OfficeStatus, int]] = {}
        """What the server has said on this connection."""

    # --- the connection -----------------------------------------------------------------------------------------------

    def connected(self, send: Callable[[ClientMessage], None]) -> None:
        """Signed in: the server is told whose office hours this device wants to know."""
        self._send, self._watched = send, ()
        self._say()

    def disconnected(self) -> None:
        """The connection is gone, and with it the server's word."""
        self._send = None
        said, self._said = self._said, {}
        for account in said:
            self.show(OfficeChanged(account))

    def take(self, message: Office) -> None:
        """The server says how an office stands. Ignored for accounts that this device does not watch."""
        if message.account not in self._watched:
            return
        status = OfficeStatus(message.status) if message.status in _KNOWN else OfficeStatus.CLOSED
        said = status, message.until
        if self._said.get(message.account) != said:
            self._said[message.account] = said
            self.show(OfficeChanged(message.account))

    # --- the host -----------------------------------------------------------------------------------------------------

    def of(self, account: AccountId, now_ms: int) -> OfficeShown:
        """What may be shown of somebody's office hours now."""
        view = self._views.get(account)
        held = view.at(now_ms) if view is not None else None
        if view is None or held is None:
            return OfficeShown(account, confirmed=False, version=view.version if view is not None else 0)
        state = shown_state(held, self._said.get(account), now_ms)
        return OfficeShown(account, True, held.hours, state, view.version, held.document.valid_until_ms)

    def held(self, account: AccountId, now_ms: int) -> Held | None:
        """The document of an account if it counts now."""
        view = self._views.get(account)
        return view.at(now_ms) if view is not None else None

    def view(self, account: AccountId) -> OfficeView | None:
        """What is held of an account, None if nothing ever was."""
        return self._views.get(account)

    # --- what has changed ---------------------------------------------------------------------------------------------

    def update(self, offices: Iterable[OfficeView], own: OwnOffice | None) -> None:
        """Documents as they stand after a turn. own: None = it has not changed."""
        self._views |= {view.account: view for view in offices}
        self.own = own or self.own

    def watch(self, views: Iterable[ConversationView]) -> None:
        """Conversations as they stand: therapists and owners in them are watched, and our own office."""
        newest = sorted(views, key=lambda view: -view.active_ms)
        accounts = dict.fromkeys([self._account] if self._watches_self else [])
        for view in newest:
            staff = (member for member in view.members if member.role in {Role.OWNER, Role.THERAPIST})
            accounts |= dict.fromkeys(member.account for member in staff if member.account != self._account)
        self._wanted = tuple(sorted([*accounts][:WATCHED_ACCOUNTS]))
        self._say()

    def _say(self) -> None:
        """Says what is not yet said on this connection."""
        if self._send is not None and self._wanted != self._watched:
            self._watched = self._wanted
            self._said = {account: said for account, said in self._said.items() if account in self._watched}
            self._send(WatchOffice(b"".join(self._wanted)))
