"""The device's mind: what to do with everything that arrives, is written or becomes due.

A state change is a synchronous step `step(turn, …)` over one vault transaction; it reads and writes records, adds
effects to the turn (messages to send, requests to make, events to show) and never waits. `loop.py` and its neighbours
are the thin shell that runs steps and carries effects out. Nothing that matters lives only in an effect: what is
unanswered stands in the vault's outbox or among its errands, so a crash between commit and effect loses nothing.
"""

__all__: list[str] = []
