"""This node among the others: its lease, what it says of itself, and who else is alive.

Source: docs/nodes.md, "Keys".
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.adapters.redis.entries import Entries, accounts_of
from rapport_server.adapters.redis.frames import NodeId
from rapport_server.adapters.redis.servers import Answer, Request, Servers, check, no_memory

__all__ = ["HEARTBEAT_S", "LEASE_MS", "Membership"]

HEARTBEAT_S: Final = 5.0
"""Seconds between two heartbeats: two of them may fail before the lease lapses."""
LEASE_MS: Final = 15_000
"""How long others believe in a node that says nothing, in milliseconds."""
_ENTRIES_MS: Final = 3_600_000
"""How long the hash outlives its node when nobody is left to clear it away, in milliseconds."""
_NODES: Final = 1_000
"""Most nodes that are believed in, whatever stands in Redis."""


class Membership:
    """One start of one process, as the other nodes see it.

    on_met: called with every node that this one comes to know of. on_gone: called once some that it knew are not there
    any more; whatever they had to tell, they may have ended before. on_lost: called with the accounts of a node whose
    lease has lapsed; only one of the nodes that are left is. It is also called with this node's own accounts when its
    own lease had lapsed and is back, because others have taken them for gone.
    """

    def __init__(self, namespace: str, me: NodeId, entries_key_of: Callable[[NodeId], bytes], lease_ms: int) -> None:
        self.me = me
        self.entries = Entries(entries_key_of(me))
        self.others: dict[NodeId, None] = {}
        """The other nodes that live."""
        self.starved = False
        """Whether Redis has no memory for what this node says of itself."""
        self.on_met: Callable[[NodeId], None] = lambda _: None
        self.on_gone: Callable[[], None] = lambda: None
        self.on_lost: Callable[[Collection[tuple[PracticeId, AccountId]]], None] = lambda _: None
        self._entries_key = entries_key_of
        self._namespace = namespace
        self._nodes = f"{namespace}:nodes".encode()
        self._lease_ms = lease_ms
        self._met: dict[NodeId, None] = {}

    def meet(self, node: NodeId) -> None:
        """Another node has said something, so it lives."""
        if node == self.me:
            return
        self._met[node] = None
        if node not in self.others:
            self.others[node] = None
            self.on_met(node)

    async def join(self, servers: Servers) -> None:
        """Says all of this node anew and looks who else is there. Raises Lost or Refused."""
        self.others.clear()
        self._met.clear()
        await self._say_all(servers)
        (members,) = check(await servers.ask([Request(self._nodes, ("SMEMBERS", self._nodes))]))
        await self._look(servers, members)

    async def beat(self, servers: Servers) -> None:
        """Refreshes the lease, puts back what Redis has forgotten, and looks who else lives. Raises Lost or Refused.

        PEXPIRE needs no memory, so that a lease outlasts a Redis that has none left.
        """
        self._met.clear()
        lease, entries, expected = self._lease(self.me), self._entries_key(self.me), self.entries.written
        alive, _, fields, members = check(
            await servers.ask(
                [
                    Request(lease, ("PEXPIRE", lease, self._lease_ms)),
                    Request(entries, ("PEXPIRE", entries, _ENTRIES_MS)),
                    Request(entries, ("HLEN", entries)),
                    Request(self._nodes, ("SMEMBERS", self._nodes)),
                ]
            )
        )
        forgotten = not alive or self._name(self.me) not in members
        if forgotten or (fields != expected and not self.starved):
            await self._say_all(servers)
        elif self.starved:
            self.took(await servers.ask(self.say_changes()))
        known = [*self.others]
        await self._look(servers, members)
        if forgotten:
            for node in filter(self.others.__contains__, known):
                self.on_met(node)  # they may have taken this node for gone, and must know of it now
            self.on_lost(self.entries.accounts())

    async def leave(self, servers: Servers) -> None:
        """Good-bye: nothing comes here any more. Raises Lost or Refused.

        Accounts that are still present keep their places until the lease lapses: their devices are on the way to other
        nodes, and one of these will tell of those that did not arrive.
        """
        lease, entries = self._lease(self.me), self._entries_key(self.me)
        requests = [Request(entries, command) for command in self.entries.whole()]
        if self.entries.accounts():
            requests.append(Request(entries, ("PEXPIRE", entries, _ENTRIES_MS)))
        else:
            requests.append(Request(lease, ("UNLINK", lease)))
            requests.append(Request(self._nodes, ("SREM", self._nodes, self._name(self.me))))
        check(await servers.ask(requests))

    def say_changes(self) -> list[Request]:
        """What to send so that Redis has this node's entries as they are now; the answers go to `took`."""
        return [Request(self._entries_key(self.me), command) for command in self.entries.changes()]

    def took(self, answers: Iterable[Answer]) -> None:
        """Whether Redis had memory for the entries. Raises Lost or Refused for any other error."""
        starved = False
        for answer in answers:
            if no_memory(answer):
                starved = True
            else:
                check([answer])
        self.starved = starved
        if starved:
            self.entries.again()

    # --- underneath ---------------------------------------------------------------------------------------------------

    def _lease(self, node: NodeId) -> bytes:
        return f"{self._namespace}:node:{{{node.hex()}}}".encode()

    @staticmethod
    def _name(node: NodeId) -> bytes:
        return node.hex().encode()

    async def _say_all(self, servers: Servers) -> None:
        lease, entries = self._lease(self.me), self._entries_key(self.me)
        requests = [Request(entries, command) for command in self.entries.whole()]
        requests.append(Request(entries, ("PEXPIRE", entries, _ENTRIES_MS)))
        requests.append(Request(lease, ("SET", lease, "1", "PX", self._lease_ms)))
        requests.append(Request(self._nodes, ("SADD", self._nodes, self._name(self.me))))
        self.took(await servers.ask(requests))

    async def _look(self, servers: Servers, members: Collection[bytes]) -> None:
        """Learns which of the members live; those that do not are cleared away."""
        nodes = [node for name in members if (node := _node(name)) is not None and node != self.me][:_NODES]
        leases = [self._lease(node) for node in nodes]
        alive = check(await servers.ask([Request(lease, ("EXISTS", lease)) for lease in leases]))
        living = {node: None for node, lives in zip(nodes, alive, strict=True) if lives}
        gone = [node for node in self.others if node not in living and node not in self._met]
        for node in gone:
            del self.others[node]
        for node in living:
            self.meet(node)
        if gone:
            self.on_gone()
        for node, lives in zip(nodes, alive, strict=True):
            if not lives:
                await self._clear(servers, node)

    async def _clear(self, servers: Servers, node: NodeId) -> None:
        """Clears a lapsed node away, unless another node is quicker or it comes back meanwhile.

        Who deletes the hash has claimed it; the watched lease lets nobody delete what has just been put back.
        """
        fields = await servers.claim(self._lease(node), self._entries_key(node))
        if fields is not None:
            if fields:
                self.on_lost(accounts_of(fields))
            check(await servers.ask([Request(self._nodes, ("SREM", self._nodes, self._name(node)))]))


def _node(name: bytes) -> NodeId | None:
    """A node's id from its name in Redis; None for what no node has written."""
    try:
        node = bytes.fromhex(name.decode())
    except ValueError:
        return None
    return NodeId(node) if len(node) == 16 else None
