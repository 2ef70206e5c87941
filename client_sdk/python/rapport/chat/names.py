"""What people are called here: as they call themselves, made printable and impossible to mistake for one another."""

from collections import Counter
from collections.abc import Iterable

from rapport.events import Member
from rapport.terminal import printable
from rapport_protocol.ids import AccountId

__all__ = ["YOU", "Names"]

YOU = "You"
_LONGEST = 40
"""Signs of a name that are shown; a name is at most 200 bytes."""


class Names:
    """Display names by account. Two people of one name, or one who calls themselves "You", get a mark of their own."""

    def __init__(self, own: AccountId) -> None:
        self._own = own
        self._members: dict[AccountId, Member] = {}
        self._shown: dict[AccountId, str] = {}
        self.version = 0
        """Grows with every change."""

    def learn(self, members: Iterable[Member]) -> None:
        """Takes over what members are called now."""
        fresh = {member.account: member for member in members}
        if any(self._members.get(account) != member for account, member in fresh.items()):
            self._members.update(fresh)
            self._shown = self._told_apart()
            self.version += 1

    def of(self, account: AccountId) -> str:
        """The name, "You" for ourselves, "Somebody" for an account that was never heard of."""
        return YOU if account == self._own else self._shown.get(account, "Somebody")

    def list(self, accounts: Iterable[AccountId]) -> str:
        """Several people without ourselves, as a title."""
        return ", ".join(self.of(account) for account in accounts if account != self._own) or "Nobody has joined yet"

    def _told_apart(self) -> dict[AccountId, str]:
        plain = {account: _plain(member) for account, member in self._members.items() if account != self._own}
        uses = Counter(name.casefold() for name in plain.values())
        return {
            account: name
            if uses[name.casefold()] == 1 and name.casefold() != YOU.casefold()
            else _marked(name, account)
            for account, name in plain.items()
        }


def _plain(member: Member) -> str:
    name = " ".join(printable(member.name).split())[:_LONGEST]
    return name or (f"The {member.role}" if member.role else "Somebody")


def _marked(name: str, account: AccountId) -> str:
    return f"{name} ({account.hex()[:4]})"
