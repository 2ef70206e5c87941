"""The one guarded way out of the server: everything that it asks of others on the internet goes through here.

Source: docs/threat-model.md, "What the server asks of others".
"""

from rapport_server.adapters.outgoing.requests import GuardedOutgoing

__all__ = ["GuardedOutgoing"]
