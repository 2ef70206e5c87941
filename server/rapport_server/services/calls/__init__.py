"""Calls: what devices say about them, who is told, and the way through firewalls.

`service` takes steps to the store and tells what became of them; `waking` pushes to devices that are away; `turn` gives
credentials of the relay.

Source: docs/protocol.md, chapters 20 and 21.
"""

from rapport_server.services.calls.service import Calls
from rapport_server.services.calls.turn import Relay, Turn
from rapport_server.services.calls.waking import Waking

__all__ = ["Calls", "Relay", "Turn", "Waking"]
