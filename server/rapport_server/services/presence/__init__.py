"""Who is there: told to those who may know and have asked, kept nowhere.

`rules` decides when something is worth telling, `visibility` to whom, `service` looks up what they need and hands on
what they say.

Source: docs/protocol.md, "Presence".
"""

from rapport_server.services.presence.service import Presence

__all__ = ["Presence"]
