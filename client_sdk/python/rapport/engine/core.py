"""The engine between the vault and the shell: runs steps as one turn, then does what has become due and sends what may go.

The shell and the tests drive the same object: `perform` inside a vault transaction, effects carried out after it has committed. It
holds what is gone with a connection (what is unanswered, which calls are under way) and nothing else that changes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from rapport.engine import agenda, errands, outbox
from rapport.engine.flight import Flight
from rapport.engine.signals import SignalMemory
from rapport.engine.turn import Call, Me, Turn
from rapport.engine.views import ConversationView, changed_views
from rapport.ports import Random, Transaction, VaultProblem

__all__ = ["Core", "Done", "Step"]

Step = Callable[[Turn], Any]
"""A state change: synchronous, whole, over one transaction."""

_ROUNDS: Final = 8
"""Local errands may plan further ones that are due at once; after so many rounds the rest waits for the next turn."""


class Done(Struct):
    """What came of a turn. results: per step its value or the exception it raised (then nothing of it was kept).

    turn: its effects. views: conversations that look different now. wake_ms: when the next turn is due, by the server's clock;
    None = nothing is planned.
    """

    results: list[Any]
    turn: Turn
    views: list[ConversationView]
    wake_ms: int | None


class Core:
    """One device's engine. Not for use by two threads at a time: the vault runs one transaction after the other."""

    def __init__(self, me: Me, random: Random) -> None:
        self.me = me
        self.random = random
        self.flight: Flight | None = None
        """What is unanswered on the present connection; None = not signed in."""
        self.signals = SignalMemory()
        self._under_way: set[bytes] = set()

    def connected(self) -> Flight:
        """Signed in: from the next turn on things are sent. Returns the new connection's flight."""
        self.flight = Flight(self.signals)
        self._under_way.clear()
        return self.flight

    def disconnected(self) -> None:
        """The connection is gone, and with it what was on its way."""
        self.flight = None
        self._under_way.clear()

    def perform(self, tx: Transaction, now_ms: int, steps: Sequence[Step]) -> Done:
        """One turn: the steps in order, each failing alone; what is due; what may be sent. VaultProblem ends the whole turn."""
        turn = Turn(tx, self.me, now_ms, self.random)
        results = [self._one(turn, step) for step in steps]
        flight = self.flight
        for _ in range(_ROUNDS):
            before = len(turn.calls)
            agenda.run_due(turn, connected=flight is not None, under_way=self._under_way)
            self._under_way.update(call.errand for call in turn.calls[before:])
            if flight is not None:
                outbox.fill(turn, flight)
            if not self._more_is_due(turn):
                return Done(results, turn, changed_views(turn), self._wake(turn))
        return Done(results, turn, changed_views(turn), turn.now_ms)

    def _more_is_due(self, turn: Turn) -> bool:
        return agenda.anything_due(turn, connected=self.flight is not None, under_way=self._under_way)

    @staticmethod
    def _one(turn: Turn, step: Step) -> Any:
        try:
            with turn.part():
                return step(turn)
        except VaultProblem:
            raise
        except Exception as problem:  # noqa: BLE001 - it goes to whoever asked for the step
            return problem

    def _wake(self, turn: Turn) -> int | None:
        connected = self.flight is not None
        times = [errands.next_due(turn.tx, connected=connected, above=turn.now_ms)]
        if connected:
            times.append(outbox.next_direct_due(turn))
        return min((time for time in times if time is not None), default=None)

    # --- calls that come back -----------------------------------------------------------------------------------------

    def finished(self, call: Call, outcome: Step) -> Step:
        """The step for a call's end: what `agenda` does with it, with the errand free to be called again."""

        def step(turn: Turn) -> None:
            self._under_way.discard(call.errand)
            outcome(turn)
            if errands.get(turn, call.errand) is None:
                turn.finished.setdefault(call.errand, None)

        return step
