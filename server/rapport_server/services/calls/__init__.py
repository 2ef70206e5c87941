"""Calls: what devices say about them, who is told, and the way through firewalls.

`service` takes steps to the store and tells what became of them; `turn` gives credentials of the relay.

Source: docs/protocol.md, chapters 20 and 21.
"""

from rapport_server.services.calls.service import Calls
from rapport_server.services.calls.turn import Relay, Turn

__all__ = ["Calls", "Relay", "Turn"]
