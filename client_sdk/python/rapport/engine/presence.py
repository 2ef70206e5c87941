"""Presence: how this device wants to be seen, whom it watches, and what the server has said of them.

Nothing of it is sealed or signed, and nothing may rest on it: a server can say what it likes about who is there. What
was said holds for the connection that it was said on; without one, nothing is known.

Source: docs/protocol.md, chapter 14.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rapport.engine.views import ConversationView
from rapport.events import Event, PresenceChanged, PresenceState
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import WATCHED_ACCOUNTS
from rapport_protocol.messages import ClientMessage, Presence, Present, Watch
from rapport_protocol.messages import PresenceState as Said
from rapport_protocol.requests import Role

__all__ = ["PRESENCE_SETTING", "SHOWN", "WhoIsThere"]

PRESENCE_SETTING: Final = "presence"
"""The setting of a client, shared by its devices, that allows to be seen; `SHOWN` allows, anything else does not."""
SHOWN: Final = "shown"


class WhoIsThere:
    """One device's part in presence. show: hands an event to the host; set by the engine."""

    def __init__(self, account: AccountId, role: Role | None) -> None:
        self.show: Callable[[Event], None] = lambda _: None
        self._account = account
        self._client = role in {None, Role.CLIENT}
        self._watching = not self._client
        self._allowed = not self._client
        self._away = False
        self._contacts: tuple[AccountId, ...] = ()
        self._send: Callable[[ClientMessage], None] | None = None
        self._spoken = False
        """Something else than the default was said since the start: the server may still hold it."""
        self._present: str | None = None
        """What was said on this connection."""
        self._watched: tuple[AccountId, ...] = ()
        self._told: dict[AccountId, PresenceState] = {}
        """Whom the server has named on this connection, and those who were named before and not yet on this one."""
        self._caught_up = False

    # --- the connection -----------------------------------------------------------------------------------------------

    def connected(self, send: Callable[[ClientMessage], None]) -> None:
        """Signed in: what the server must know is said."""
        self._send, self._present, self._watched, self._caught_up = send, None, (), False
        self._say()

    def disconnected(self) -> None:
        """The connection is gone: nobody is known to be there any more."""
        self._send = None
        for account, state in list(self._told.items()):
            if state in {PresenceState.ONLINE, PresenceState.AWAY}:
                self._note(account, PresenceState.UNKNOWN)

    def caught_up(self) -> None:
        """The server has answered: whom it has not named is not there."""
        self._caught_up = True
        for account, state in list(self._told.items()):
            if state is PresenceState.UNKNOWN:
                self._note(account, PresenceState.OFFLINE)

    def take(self, message: Presence) -> None:
        """The server says how somebody is. Ignored for accounts that this device does not watch."""
        if message.account in self._watched:
            known = {Said.ONLINE: PresenceState.ONLINE, Said.AWAY: PresenceState.AWAY}
            self._note(message.account, known.get(message.state, PresenceState.OFFLINE))

    def _note(self, account: AccountId, state: PresenceState) -> None:
        before = self._told.get(account, PresenceState.OFFLINE)
        self._told[account] = state
        if state is not before:
            self.show(PresenceChanged(account, state))

    # --- the host -----------------------------------------------------------------------------------------------------

    def of(self, account: AccountId) -> PresenceState:
        """How somebody is, as far as the server has said."""
        if self._send is None or account not in self._watched:
            return PresenceState.UNKNOWN
        return self._told.get(account, PresenceState.OFFLINE if self._caught_up else PresenceState.UNKNOWN)

    @property
    def allowed(self) -> bool:
        """Whether others may see that this account is there."""
        return self._allowed

    def away(self, *, away: bool) -> None:
        """The person does something else, or is back."""
        self._away = away
        self._say()

    def watch(self) -> None:
        """From now on contacts are watched, also as a client."""
        self._watching = True
        self._say()

    # --- what has changed ---------------------------------------------------------------------------------------------

    def update(self, views: Iterable[ConversationView], settings: Mapping[str, str]) -> None:
        """Conversations and settings as they stand now."""
        if self._client:
            self._allowed = settings.get(PRESENCE_SETTING) == SHOWN
        if self._watching:
            self._contacts = self._others([view for view in views if not view.is_self])
        self._say()

    def _others(self, views: list[ConversationView]) -> tuple[AccountId, ...]:
        """Everybody in them, ascending; of too many those with whom something happened last."""
        others = {member.account for view in views for member in view.members} - {self._account}
        if len(others) > WATCHED_ACCOUNTS:
            newest = sorted(views, key=lambda view: -view.active_ms)
            ordered = dict.fromkeys(member.account for view in newest for member in view.members)
            others = set([account for account in ordered if account in others][:WATCHED_ACCOUNTS])
        return tuple(sorted(others))

    def _say(self) -> None:
        """Says what is not yet said on this connection."""
        if self._send is None:
            return
        state = Said.HIDDEN if not self._allowed else Said.AWAY if self._away else Said.ONLINE
        usual = Said.HIDDEN if self._client else Said.ONLINE
        said = self._present or (None if self._spoken else usual)
        if state != said:
            self._present, self._spoken = state, True
            self._send(Present(state))
        if self._watching and self._contacts != self._watched:
            for account in set(self._watched) - set(self._contacts):
                self._told.pop(account, None)
            self._watched = self._contacts
            self._send(Watch(b"".join(self._contacts)))
