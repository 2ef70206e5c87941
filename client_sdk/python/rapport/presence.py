"""Who is there, as the server reports it: the part of `Client` that shows it and says how we want to be seen."""

from rapport.engine import own_state
from rapport.engine.link.loop import Engine
from rapport.engine.presence import PRESENCE_SETTING, SHOWN
from rapport.events import PresenceState
from rapport_protocol.ids import AccountId

__all__ = ["Presence"]


class Presence:
    """Presence of contacts, and our own; `Client.presence`.

    Therapists and owners watch their contacts by themselves. Nothing of it is kept anywhere, nobody is told since when,
    and it is the server's word alone.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, account: AccountId) -> PresenceState:
        """How a contact is. UNKNOWN without a connection, and for accounts that are not watched.

        Somebody who does not want to be seen, or may not be, is OFFLINE like somebody who is not there.
        """
        return self._engine.presence.of(account)

    @property
    def allowed(self) -> bool:
        """Whether our therapists may see that we are there: not until a client allows it. Always so for others."""
        return self._engine.presence.allowed

    async def allow(self, allowed: bool) -> None:
        """A client lets its therapists see that it is there, or no longer: on all its devices, kept in their vaults.

        Changes nothing for therapists and owners.
        """
        await self._engine.do(lambda turn: own_state.set_setting(turn, PRESENCE_SETTING, SHOWN if allowed else None))

    def away(self) -> None:
        """The person is doing something else: whoever may see this account sees it as away."""
        self._engine.presence.away(away=True)

    def back(self) -> None:
        """The person is back."""
        self._engine.presence.away(away=False)

    def watch(self) -> None:
        """Watches contacts as a client, too. Tells of therapists only if the practice shows them to clients."""
        self._engine.presence.watch()
