"""Urgent messages: who is told, again and again, until somebody confirms or nothing more can be done.

`rules` decides, `service` looks up what they need, carries it out and hands on what is said.

Source: docs/protocol.md, chapter 17.
"""

from rapport_server.services.urgent.service import Urgent

__all__ = ["Urgent"]
